"""Every command, the same checks: help, panel, shared options, examples that run."""

from __future__ import annotations

import inspect
import re
import shutil
import subprocess
import sys
import typing
from collections.abc import Callable
from pathlib import Path

import pytest
from support.processes import fresh, shell

from scgx import cli, registry
from scgx.commands import _options

NAMES = registry.names("commands")
# whose inputs are named in another way
OPTIONAL_INPUT = {"fetch", "simulate", "check", "score", "join", "concat", "explain", "generate"}

SHARED = {
    "output": "OutputOpt", "memory": "MemoryOpt", "tmpdir": "TmpdirOpt", "seed": "SeedOpt",
    "threads": "ThreadsOpt", "device": "DeviceOpt", "layer": "LayerOpt", "modality": "ModalityOpt",
    "label": "LabelOpt", "quiet": "QuietOpt", "json": "JsonOpt", "history": "HistoryOpt",
    "genome_10x": "Genome10xOpt", "input": "InputArg",
}  # fmt: skip
"""Parameters that mean one thing everywhere."""

OWN = {("fetch", "seed")}  # of demo alone, and said so in its help


def function_of(name: str) -> Callable[..., None]:
    return getattr(registry.load("commands", name), name.replace("-", "_"))


def examples(name: str) -> list[str]:
    text = inspect.getdoc(function_of(name)) or ""
    return [line.strip() for line in text.partition("Example:")[2].splitlines() if line.strip()]


@pytest.mark.parametrize("name", NAMES)
def test_it_has_a_panel_a_first_line_and_an_example(name: str) -> None:
    module = registry.load("commands", name)
    assert module.PANEL in cli.PANELS
    first = (inspect.getdoc(function_of(name)) or "").splitlines()[0]
    assert first.endswith((".", ":")) and first[0].isupper()
    assert examples(name), f"{name}: the docstring shows no example"


@pytest.mark.parametrize("name", NAMES)
def test_an_option_means_the_same_everywhere(name: str) -> None:
    hints = typing.get_type_hints(function_of(name), include_extras=True)
    for parameter, kind in hints.items():
        if parameter in SHARED and (name, parameter) not in OWN:
            shared = getattr(_options, SHARED[parameter])
            assert kind == shared, f"{name}: --{parameter} is spelled on its own"


@pytest.mark.parametrize("name", NAMES)
def test_every_option_has_a_word_of_help(name: str) -> None:
    for parameter, kind in typing.get_type_hints(function_of(name), include_extras=True).items():
        if parameter == "return":
            continue
        said = [about for about in kind.__metadata__ if hasattr(about, "help")]
        assert said and said[0].help, f"{name}: {parameter} is not explained"


@pytest.mark.parametrize("name", NAMES)
def test_input_is_last_and_stdin_by_default(name: str) -> None:
    if name in OPTIONAL_INPUT:
        return
    parameter = inspect.signature(function_of(name)).parameters["input"]
    assert parameter.default == "-"


@pytest.mark.parametrize("name", NAMES)
def test_help_names_every_option(name: str) -> None:
    done = fresh(name, "--help", env={"COLUMNS": "120", "TERM": "dumb"})
    assert done.code == 0
    said = done.out.decode()
    for words in re.findall(r"scgx [a-z-]+ (.*)", "\n".join(examples(name))):
        for option in re.findall(
            r"(?<!\S)--[a-z0-9-]+", words.partition("|")[0].partition("&&")[0]
        ):
            assert option in said


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the examples name: cells, split cells, both modalities, a model."""
    folder = tmp_path_factory.mktemp("workshop")
    lines = [
        "scgx fetch demo -q -o demo.h5ad",
        "scgx fetch demo -q --modality rna -o rna.h5ad",
        "scgx fetch demo -q --modality atac -o atac.h5ad",
        "scgx split demo.h5ad -q --by donor -o split.h5ad",
        "scgx simulate -q --cells 600 --genes 40 --perturbations 6 --doubles 8 -o screen.h5ad",
        "scgx train ridge split.h5ad -q --from atac --to rna -o ridge.scgx",
    ]
    for line in lines:
        done = shell(line, cwd=folder)
        assert done.code == 0, f"{line}\n{done.err}"
    return folder


@pytest.mark.parametrize(
    ("name", "line"), [(name, line) for name in NAMES for line in examples(name)]
)
def test_the_example_of_the_help_runs(name: str, line: str, workshop: Path, tmp_path: Path) -> None:
    """In a copy of the folder: what one example writes is not what another one reads."""
    own = Path(shutil.copytree(workshop, tmp_path / "workshop"))
    done = shell(f"set -o pipefail\n{line}", cwd=own)
    assert done.code == 0, done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_option_is_a_usage_error_in_one_line(name: str) -> None:
    done = fresh(name, "--no-such-option")
    assert done.code == 2
    assert "--no-such-option" in done.line()


@pytest.mark.parametrize("name", NAMES)
def test_it_is_a_python_function_too(name: str) -> None:
    import scgx

    function = getattr(scgx, name.replace("-", "_"))
    assert inspect.signature(function) == inspect.signature(function_of(name))


def test_the_nine_stand_first_in_help() -> None:
    done = fresh("--help", env={"COLUMNS": "100", "TERM": "dumb"})
    shown = re.findall(r"^[│ ]+([a-z][a-z-]+) {2,}", done.out.decode(), flags=re.MULTILINE)
    listed = [name for name in shown if name in NAMES]
    assert sorted(listed) == NAMES
    nine = [name for name in cli.ORDER if name in NAMES]
    for panel in cli.PANELS:
        here = [name for name in listed if panel == registry.load("commands", name).PANEL]
        first = [name for name in nine if name in here]
        assert here[: len(first)] == first


def test_an_unknown_command_suggests_the_nearest() -> None:
    done = fresh("filter-chrm")
    assert done.code == 2
    assert "did you mean 'filter-chrom'?" in done.line()


def test_the_program_runs_as_a_module_and_as_a_script() -> None:
    script = Path(sys.executable).with_name("scgx")
    done = subprocess.run([script, "--version"], capture_output=True, check=True)
    assert done.stdout == fresh("--version").out
    assert done.stdout.startswith(b"scgx ")
