"""What is written is true: pages are current, the tour runs, the tutorial works, links lead on."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from support.processes import environment

import scgx
from scgx import registry

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["commands", "models", "metrics"])
def test_a_generated_page_is_current(page: str, generator: ModuleType) -> None:
    stored = generator.PAGES[page].read_text(encoding="utf-8")
    assert stored == getattr(generator, page)(), "run `make docs`"


def test_the_tables_of_the_readme_are_current(generator: ModuleType) -> None:
    stored = generator.README.read_text(encoding="utf-8")
    assert stored == generator.with_tables(stored), "run `make docs`"


def unhashed(text: str) -> str:
    """Without hashes and sizes, which depend on the versions of libraries."""
    return re.sub(r"\b[0-9a-f]{16,32}\b|[0-9,]+ bytes", "#", text)


def test_the_tour_of_the_readme_runs_and_prints_what_it_says(
    generator: ModuleType, tmp_path: Path
) -> None:
    text = generator.README.read_text(encoding="utf-8")
    kinds = []
    for kind, block, printed in generator.tour(text, tmp_path):
        kinds.append(kind)
        if kind == "text":
            assert unhashed(block) == unhashed(printed), "run `make docs`"
    assert {"sh", "python", "text"} <= set(kinds)


@pytest.mark.parametrize("page", PAGES, ids=[str(p.relative_to(ROOT)) for p in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert "://" in target or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=[str(p.relative_to(ROOT)) for p in PAGES])
def test_pages_name_nothing_of_one_machine(page: Path) -> None:
    assert not re.search(r"(?<![\w.])/(work|root|home)/", page.read_text(encoding="utf-8"))


def test_the_changelog_knows_this_version() -> None:
    assert f"## {scgx.__version__}\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_exit_code_is_in_the_readme() -> None:
    from scgx import errors

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    codes = {kind.code for kind in errors.ScgxError.__subclasses__()} | {0}
    for code in codes:
        assert re.search(rf"^\| {code} \|", text, re.MULTILINE), code


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with the files of the tutorial added, and nothing else touched."""
    folder = tmp_path_factory.mktemp("extended")
    shutil.copytree(ROOT / "scgx", folder / "scgx", ignore=shutil.ignore_patterns("__pycache__"))
    tutorial = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    files = re.findall(r"```python file=(\S+)\n(.*?)```", tutorial, re.DOTALL)
    assert len(files) == 2
    for name, text in files:
        assert not (folder / name).exists()
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def extended_run(folder: Path, line: str) -> str:
    script = f'scgx() {{ "{sys.executable}" -m scgx "$@"; }}\nset -euo pipefail\n{line}\n'
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment(PYTHONPATH=str(folder)),
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_command_of_the_tutorial_works_by_adding_its_file(extended: Path) -> None:
    assert extended_run(extended, "scgx fetch demo -q --cells 60 | scgx count-cells") == "60\n"
    assert "count-cells" in extended_run(extended, "scgx --help")


def test_the_model_of_the_tutorial_works_by_adding_its_file(extended: Path) -> None:
    said = extended_run(
        extended,
        "scgx fetch demo -q --cells 120 --genes 20 --peaks 40 | scgx split -q --by donor -o s.h5ad\n"
        "scgx train half-mean s.h5ad -q --from atac --to rna --set share=0.25 -o m.scgx\n"
        "scgx predict m.scgx s.h5ad -q | scgx score s.h5ad - -q --json",
    )
    assert '"pearson_per_feature"' in said


def test_every_model_and_command_is_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in registry.names("models"):
        assert f"| `{name}` |" in text
    for name in registry.names("commands"):
        assert f"| `scgx {name}` |" in text
