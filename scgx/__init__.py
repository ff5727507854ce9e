"""scgx: small composable commands from single-cell data to a trained, honestly scored model.

Every command is a function too: `scgx.filter_chrom("X", "in.h5ad", output="out.h5ad")`, and
`scgx.Batches` gives minibatches of files. They are looked up on demand (PEP 562), so `import scgx`
costs nothing.
"""

from typing import Any

__version__ = "0.1.0"


_CLASSES = {
    "Batches": "scgx.learn.batches",
    "ControlPairs": "scgx.learn.control_pairs",
    "TorchBatches": "scgx.learn.torch_batches",
}


def __getattr__(name: str) -> Any:
    from scgx.registry import names

    if name in _CLASSES:
        from importlib import import_module

        return getattr(import_module(_CLASSES[name]), name)
    command = name.replace("_", "-")
    if name.startswith("_") or command not in names("commands"):
        raise AttributeError(f"module 'scgx' has no attribute {name!r}")
    from scgx.api import function_of

    return function_of(command)


def __dir__() -> list[str]:
    from scgx.registry import names

    return ["__version__", *_CLASSES, *(name.replace("-", "_") for name in names("commands"))]
