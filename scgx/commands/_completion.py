"""What the shell offers after TAB, where it is neither a command, an option nor a file.

The scripts in `completions/` ask the program itself, so a new plugin is offered without an edit.
Only names are listed here: nothing heavy is loaded, and the answer comes at once.
"""

from collections.abc import Callable

from scgx import registry

Completer = Callable[[str], list[str]]


def models(incomplete: str) -> list[str]:
    """Names of the models, as `train` and `score --baseline` take them."""
    return _begin(registry.names("models"), incomplete)


def datasets(incomplete: str) -> list[str]:
    """Names of the datasets, as `fetch` takes them."""
    from scgx.datasets import _catalog

    return _begin(_catalog.names(), incomplete)


def words(*known: str) -> Completer:
    """An option that takes one of a few words."""

    def offer(incomplete: str) -> list[str]:
        return _begin(list(known), incomplete)

    return offer


def _begin(known: list[str], incomplete: str) -> list[str]:
    return [name for name in known if name.startswith(incomplete)]
