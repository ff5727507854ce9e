"""The shape of the house: what may import what, where each library lives, what start-up may load."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from scgx import registry

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "scgx"
FILES = sorted(PACKAGE.rglob("*.py"))
NAMES = [str(path.relative_to(PACKAGE)) for path in FILES]

LEVEL = {
    "__main__": 9, "cli": 8, "__init__": 8, "api": 8,
    "commands": 7,
    "models": 6,
    "learn": 5, "tasks": 5,
    "metrics": 4, "cells": 4, "plots": 4,
    "h5ad": 3, "genome": 3, "datasets": 3,
    "registry": 2, "cluster": 2,
    "errors": 1, "progress": 1, "invocation": 1, "__version__": 0,
}  # fmt: skip
"""Imports point down: to a lower number, or within a folder. `__init__` is a lazy door to the API."""

UP = {("__init__", "api")}  # looked up when somebody asks for scgx.NAME

PLUGINS = ("commands", "models", "metrics", "datasets", "tasks")

HOMES = {
    "typer": ("cli.py", "commands/"),
    "h5py": ("h5ad/",),
    "numba": ("h5ad/compiled.py", "h5ad/gather_kernels.py"),
    "zstandard": ("h5ad/",),
    "tiledbsoma": ("cells/census_store.py",),
    "pyarrow": ("cells/census_store.py",),
    "dask": ("cluster/pool.py",),
    "distributed": ("cluster/pool.py",),
    "dask_jobqueue": ("cluster/pool.py",),
    "dask_kubernetes": ("cluster/pool.py",),
    "anndata": ("h5ad/foreign.py",),
    "zarr": ("h5ad/foreign.py",),
    "pyranges": ("genome/",),
    "torch": (
        "models/", "learn/loop.py", "learn/loop_state.py", "learn/distributed.py",
        "learn/torch_batches.py",
    ),
    "xgboost": ("models/xgboost.py", "models/_xgboost_dask.py"),
    "rich": ("progress.py", "cli.py"),
    "matplotlib": ("plots/",),
    "umap": ("learn/spaces.py",),
    "optuna": ("learn/tune_study.py",),
    "sknetwork": ("metrics/_communities.py",),
    "safetensors": ("learn/artifact.py",),
    "platformdirs": ("datasets/",),
    "pooch": ("datasets/",),
    "sklearn": ("models/", "learn/", "cells/", "metrics/_forest.py"),
    "pandas": ("cells/", "genome/", "tasks/", "commands/", "h5ad/"),
    "numpy": ("cells/", "commands/", "genome/", "h5ad/", "learn/", "metrics/", "models/", "tasks/",
              "plots/", "datasets/"),
    "scipy": ("cells/", "h5ad/", "learn/", "metrics/", "models/", "tasks/"),
    "isal": ("genome/", "h5ad/", "datasets/"),
    "xxhash": ("cells/", "h5ad/", "learn/", "datasets/"),
}  # fmt: skip
"""Where a library may be imported; one that is not named here may be imported nowhere."""

HEAVY = ("numpy", "h5py", "pandas", "scipy", "torch", "anndata", "xgboost", "sklearn", "matplotlib",
         "dask", "distributed")  # fmt: skip

MEANINGLESS = {"utils", "util", "helpers", "helper", "base", "common", "misc", "core"}


@cache
def tree(name: str) -> ast.Module:
    return ast.parse((PACKAGE / name).read_text(encoding="utf-8"))


def imports(name: str) -> Iterator[str]:
    """Full names of everything that a file imports, wherever in the file."""
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}:{node.lineno}: a relative import"
            for alias in node.names:
                yield f"{node.module}.{alias.name}"


def room(name: str) -> str:
    """The folder of a file in the package, or the file itself where it lies at the top."""
    parts = Path(name).parts
    return parts[0] if len(parts) > 1 else Path(name).stem


def test_imports_point_down() -> None:
    up = []
    for name in NAMES:
        mine = room(name)
        for target in imports(name):
            words = target.split(".")
            if words[0] != "scgx" or words[1] == mine or (mine, words[1]) in UP:
                continue
            if LEVEL[words[1]] >= LEVEL[mine]:
                up.append(f"{name} imports {target}, which is not below it")
    assert not up, "\n".join(up)


def test_no_files_import_each_other_in_a_circle() -> None:
    modules = {"scgx." + name[:-3].replace("/", "."): name for name in NAMES}
    graph = {
        name: {modules[m] for t in imports(name) for m in (t, t.rpartition(".")[0]) if m in modules}
        for name in NAMES
        if not name.endswith("__init__.py")
    }
    while free := {name for name, below in graph.items() if not below & graph.keys()}:
        graph = {name: below for name, below in graph.items() if name not in free}
    assert not graph, f"in a circle, or above one: {', '.join(sorted(graph))}"


def test_plugins_never_import_their_siblings() -> None:
    siblings = []
    for name in NAMES:
        for target in imports(name) if room(name) in PLUGINS else ():
            words = target.split(".")
            if words[:2] == ["scgx", room(name)] and not words[2].startswith("_"):
                siblings.append(f"{name} imports its sibling {target}")
    assert not siblings, "\n".join(siblings)


def test_each_library_has_one_home() -> None:
    strays = []
    for name in NAMES:
        for library in {target.split(".")[0] for target in imports(name)}:
            if library == "scgx" or library in sys.stdlib_module_names:
                continue
            homes = HOMES.get(library, ())
            if not name.startswith(homes):
                strays.append(f"{name} imports {library}, which is at home in {homes}")
    assert not strays, "\n".join(strays)


def test_every_import_is_declared_and_every_dependency_has_a_sentence() -> None:
    import tomllib

    with open(ROOT / "pyproject.toml", "rb") as file:
        project = tomllib.load(file)["project"]
    declared = {
        re.split(r"[<>=;\[ ]", line)[0]
        for line in [*project["dependencies"], *project["optional-dependencies"]["plot"],
                     *project["optional-dependencies"]["zarr"],
                     *project["optional-dependencies"]["census"],
                     *project["optional-dependencies"]["umap"],
                     *project["optional-dependencies"]["tune"],
                     *project["optional-dependencies"]["scale"],
                     *project["optional-dependencies"]["kubernetes"]]
    }  # fmt: skip
    used = {
        target.split(".")[0]
        for name in NAMES
        for target in imports(name)
        if target.split(".")[0] not in {"scgx", *sys.stdlib_module_names}
    }
    packages = {"sklearn": "scikit-learn", "umap": "umap-learn", "sknetwork": "scikit-network",
                "dask_jobqueue": "dask-jobqueue", "dask_kubernetes": "dask-kubernetes"}  # fmt: skip
    assert {packages.get(name, name) for name in used} <= declared
    sentences = (ROOT / "docs" / "decisions" / "dependencies.md").read_text(encoding="utf-8")
    missing = [name for name in declared if f"**{name}**" not in sentences]
    assert not missing, f"docs/decisions/dependencies.md lacks a sentence on {missing}"


def test_file_names_mean_something() -> None:
    assert not [name for name in NAMES if Path(name).stem.strip("_") in MEANINGLESS]


def test_files_fit_in_the_head() -> None:
    lines = {name: (PACKAGE / name).read_text(encoding="utf-8").count("\n") for name in NAMES}
    assert not {name: count for name, count in lines.items() if count > 400}


def test_a_module_says_what_it_is_for() -> None:
    modules = [name for name in NAMES if not name.endswith("__init__.py")]
    assert not [name for name in modules if not ast.get_docstring(tree(name))]


PROTOCOL = {"fit", "save", "restore", "predict", "update", "result"}  # described in their protocol


def test_public_functions_have_types_and_docstrings() -> None:
    bare = []
    for name in NAMES:
        for where, node in public_functions(tree(name).body):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            named = [a for a in arguments if a.arg not in ("self", "cls")]
            if node.returns is None or any(a.annotation is None for a in named):
                bare.append(f"{name}: {where}{node.name} has no types")
            if not ast.get_docstring(node) and node.name not in PROTOCOL and not is_property(node):
                bare.append(f"{name}: {where}{node.name} has no docstring")
    assert not bare, "\n".join(bare)


def public_functions(
    body: list[ast.stmt], where: str = ""
) -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in body:
        if isinstance(node, ast.FunctionDef) and not (node.name.startswith("_") or is_stub(node)):
            yield where, node
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public_functions(node.body, f"{node.name}.")


def is_stub(node: ast.FunctionDef) -> bool:
    """`...` as the body: a method of a protocol."""
    last = node.body[-1]
    return isinstance(last, ast.Expr) and isinstance(last.value, ast.Constant)


def is_property(node: ast.FunctionDef) -> bool:
    return any(isinstance(d, ast.Name) and "property" in d.id for d in node.decorator_list)


FORBIDDEN = {
    r"^\s*(import|from) pickle\b": "a pickle runs code",
    r"\btorch\.load\b": "torch.load unpickles",
    r"allow_pickle\s*=\s*True": "a pickle runs code",
    r"\.extractall\(": "an archive may name files outside its folder",
    r"shell\s*=\s*True": "a file name may hold a command",
    r"\bos\.system\(": "a file name may hold a command",
    r"\b(TODO|FIXME|XXX)\b": "an issue is the place for what is left to do",
    r"^\s*except\s*:": "hides what went wrong",
    r"^\s*except Exception\b": "hides what went wrong",
    r"(?<![\w.])/(work|root|home)/": "a path of one machine",
}


def test_what_must_not_stand_in_the_code() -> None:
    found = [
        f"{name}:{number}: {why}: {line.strip()}"
        for name in NAMES
        for number, line in enumerate((PACKAGE / name).read_text("utf-8").splitlines(), start=1)
        for pattern, why in FORBIDDEN.items()
        if re.search(pattern, line)
    ]
    assert not found, "\n".join(found)


# folders, threads and addresses that a user sets for all commands, and what a launcher tells its
# processes; a setting of one is an option of it
ENVIRONMENT = {
    "cli.py", "h5ad/streams.py", "learn/launched.py", "learn/threads.py", "metrics/_forest.py",
}  # fmt: skip


def test_the_environment_sets_no_knob() -> None:
    readers = {n for n in NAMES if "os.environ" in (PACKAGE / n).read_text("utf-8")}
    assert {name for name in readers if not name.startswith("datasets/_")} == ENVIRONMENT


LOADED = """
import json, sys
from scgx import cli
code = cli.run(json.loads(sys.argv[1]))
print("\\n" + json.dumps([code, sorted({name.split(".")[0] for name in sys.modules})]))
"""


def loaded_by(arguments: list[str]) -> tuple[int, list[str]]:
    """The exit code of a command line and the top-level modules that it loaded, in a new process."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED, json.dumps(arguments)],
        capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    code, modules = json.loads(done.stdout.splitlines()[-1])
    return code, modules


# what comes before the name of a file that is not there
WORDS = {
    "filter-chrom": ["X"],
    "train": ["mean"],
    "tune": ["mean"],
    "score": ["-"],
    "embed": ["pca"],
}


def test_help_loads_nothing_heavy() -> None:
    code, modules = loaded_by(["--help"])
    assert code == 0
    assert not set(HEAVY) & set(modules)


@pytest.mark.parametrize("command", [n for n in registry.names("commands") if n != "fetch"])
def test_a_wrong_file_name_loads_nothing_heavy(command: str) -> None:
    code, modules = loaded_by([command, *WORDS.get(command, []), "no-such-file.h5ad"])
    assert code != 0
    assert not set(HEAVY) & set(modules)


def test_a_list_of_datasets_loads_nothing_heavy() -> None:
    code, modules = loaded_by(["fetch", "--list"])
    assert code == 0
    assert not set(HEAVY) & set(modules)


def test_importing_a_model_loads_no_torch() -> None:
    """A typing error in --set is answered before torch is loaded."""
    names = registry.names("models")
    code = (
        "import sys; from scgx import registry\n"
        f"for name in {names}: registry.load('models', name)\n"
        "print('torch' in sys.modules, 'xgboost' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_importing_scgx_loads_nothing_heavy() -> None:
    code = "import sys, scgx; dir(scgx); print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(HEAVY) & set(done.stdout.split())
