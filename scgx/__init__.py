"""scgx: small composable commands from single-cell data to a trained, honestly scored model.

Every command is a function too: `scgx.filter_chrom("X", "in.h5ad", output="out.h5ad")`. They are
looked up on demand (PEP 562), so `import scgx` costs nothing.
"""

from collections.abc import Callable

__version__ = "0.1.0"


def __getattr__(name: str) -> Callable[..., None]:
    from scgx.registry import names

    command = name.replace("_", "-")
    if name.startswith("_") or command not in names("commands"):
        raise AttributeError(f"module 'scgx' has no attribute {name!r}")
    from scgx.api import function_of

    return function_of(command)


def __dir__() -> list[str]:
    from scgx.registry import names

    return ["__version__", *(name.replace("-", "_") for name in names("commands"))]
