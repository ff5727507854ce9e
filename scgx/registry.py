"""A folder is a registry: the name of a file is the name of the plugin.

Adding a command, a model, a metric, a task or a dataset is adding one file; nothing is listed anywhere.
Files that begin with an underscore are neighbours of a plugin and no plugins. Python names use `_`
where the command line uses `-`. Listing reads the folder and imports nothing.
"""

import difflib
import importlib
import pkgutil
from pathlib import Path
from types import ModuleType

from scgx.errors import UsageError

_ROOT = Path(__file__).parent
ROOM = 90  # characters of what there is, in the one line of an error


def names(kind: str) -> list[str]:
    """Names of the plugins of a kind ("models", "metrics", "datasets", "commands", "tasks")."""
    found = (module.name for module in pkgutil.iter_modules([str(_ROOT / kind)]))
    return sorted(name.replace("_", "-") for name in found if not name.startswith("_"))


def load(kind: str, name: str) -> ModuleType:
    """Import one plugin. An unknown name is a `UsageError` that suggests the nearest known one."""
    known = names(kind)
    if name not in known:
        raise UsageError(f"no {kind.removesuffix('s')} named {name!r}", fix=suggest(name, known))
    return importlib.import_module(f"scgx.{kind}.{name.replace('-', '_')}")


def suggest(name: str, known: list[str]) -> str:
    """`did you mean 'cnn'?` where something is near, else what there is, as far as a line has room."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if near:
        return f"did you mean {near[0]!r}?"
    if not known:
        return "there is none"
    shown = known[:1]
    for each in known[1:]:
        if len(", ".join([*shown, each])) > ROOM:
            return f"there is {', '.join(shown)}, {len(known) - len(shown):,} more"
        shown.append(each)
    return "there is " + ", ".join(shown)
