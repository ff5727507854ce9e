"""What TAB offers, in the real shells that are here, and that the generated scripts are current."""

import importlib.util
import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

from scgx import registry

ROOT = Path(__file__).resolve().parents[1]
COMPLETIONS = ROOT / "completions"


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", COMPLETIONS / "generate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def environment(**more: str) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "TERM": "dumb", **more}


def offered(line: str) -> list[str]:
    """What the program answers to the shell for a line that is being typed."""
    words = line.split(" ")
    asked = environment(
        _SCGX_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1)
    )
    done = subprocess.run(
        [sys.executable, "-m", "scgx"], env=asked, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_current(shell: str) -> None:
    module = generator()
    stored = (COMPLETIONS / module.FILES[shell]).read_text(encoding="utf-8")
    assert stored == module.script(shell), "run `make completions`"


def test_every_command_is_offered() -> None:
    assert sorted(offered("scgx ")) == registry.names("commands")


def test_models_are_offered_after_train() -> None:
    assert offered("scgx train ") == registry.names("models")


def test_datasets_are_offered_after_fetch() -> None:
    assert "demo" in offered("scgx fetch ")
    assert "zhu2023" in offered("scgx fetch zhu")


def test_options_are_offered() -> None:
    assert offered("scgx train mean --mem") == ["--memory"]


def test_an_input_is_left_to_the_shell() -> None:
    assert offered("scgx info ") == []


def test_completion_loads_nothing_heavy() -> None:
    code = (
        "import sys, runpy\n"
        "sys.argv = ['scgx']\n"
        "try: runpy.run_module('scgx', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "finally: sys.stderr.write(' '.join(sys.modules))"
    )
    asked = environment(_SCGX_COMPLETE="complete_bash", COMP_WORDS="scgx fetch ", COMP_CWORD="2")
    done = subprocess.run([sys.executable, "-c", code], env=asked, capture_output=True, text=True)
    loaded = {name.split(".")[0] for name in done.stderr.split()}
    assert "scgx" in loaded
    assert not loaded & {"numpy", "h5py", "pandas", "scipy", "torch"}


START = {
    "bash": (
        ["bash", "--norc", "--noprofile", "-i"],
        "source {folder}/scgx.bash; "
        'bind -x \'"\\C-xd": printf %s "$READLINE_LINE" > {out}.new; mv {out}.new {out}\'',
    ),
    "zsh": (
        ["zsh", "-f", "-i"],
        "fpath=({folder} $fpath); autoload -Uz compinit; compinit -u -D; "
        "dump() {{ print -rn -- $BUFFER > {out}.new; mv {out}.new {out} }}; "
        "zle -N dump; bindkey '^Xd' dump",
    ),
}

TYPED = [
    ("scgx trai", "scgx train"),
    ("scgx train kern", "scgx train kernel-ridge"),
    ("scgx fetch dem", "scgx fetch demo"),
    ("scgx train mean --from act", "scgx train mean --from activity"),
    ("scgx train mean --thr", "scgx train mean --threads"),
    ("scgx info pai", "scgx info paired.h5ad"),
    ("cat x | scgx filter-c", "cat x | scgx filter-chrom"),
]


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_tab_completes_in_a_real_shell(shell: str, tmp_path: Path) -> None:
    if not shutil.which(shell):
        pytest.skip(f"no {shell} here")
    (tmp_path / "paired.h5ad").touch()
    command, setup = START[shell]
    out = tmp_path / "line.txt"
    setup = setup.format(folder=COMPLETIONS, out=out)
    terminal, theirs = pty.openpty()
    process = subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=tmp_path,
        env=environment(HOME=str(tmp_path), INPUTRC="/dev/null"),
        start_new_session=True,
    )
    os.close(theirs)
    try:
        os.write(terminal, f"{setup}; touch {tmp_path}/ready\n".encode())
        wait_for(terminal, tmp_path / "ready")
        for typed, wanted in TYPED:
            os.write(terminal, f"{typed}\t".encode() + b"\x18d")
            wait_for(terminal, out)
            assert out.read_text(encoding="utf-8").rstrip() == wanted
            out.unlink()
            os.write(terminal, b"\x05\x15")  # the end of the line, and all of it away
    finally:
        process.kill()
        process.wait()
        os.close(terminal)


def wait_for(terminal: int, path: Path, seconds: float = 30) -> None:
    """Read what the shell prints (it stops when nobody does) until a file appears."""
    end = time.monotonic() + seconds
    said = b""
    while not path.exists():
        assert time.monotonic() < end, f"no answer: {said.decode(errors='replace')}"
        if select.select([terminal], [], [], 0.05)[0]:
            said += os.read(terminal, 4096)


@pytest.mark.parametrize(("typed", "wanted"), TYPED)
def test_tab_completes_in_fish(typed: str, wanted: str, tmp_path: Path) -> None:
    if not shutil.which("fish"):
        pytest.skip("no fish here")
    (tmp_path / "paired.h5ad").touch()
    line = f"source {COMPLETIONS}/scgx.fish; complete -C '{typed}'"
    done = subprocess.run(
        ["fish", "--no-config", "-c", line], cwd=tmp_path, env=environment(HOME=str(tmp_path)),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    candidates = [row.split("\t")[0] for row in done.stdout.splitlines()]
    assert candidates == [wanted.split(" ")[-1]]
