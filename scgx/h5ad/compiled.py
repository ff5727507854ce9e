"""A loop compiled by numba, once per machine; where no folder can keep it, once per run.

The folder is that of the source file, else the user's cache. A place that others may write to, such as
the temporary folder, is none: what numba keeps there is code.
"""

from collections.abc import Callable
from typing import TypeVar, cast

from numba import njit

F = TypeVar("F", bound=Callable[..., object])


def compiled(function: F) -> F:
    """The function as machine code, which lets go of the GIL."""
    try:
        return cast(F, njit(nogil=True, cache=True)(function))
    except RuntimeError:  # "no locator available": nothing is writable
        return cast(F, njit(nogil=True)(function))
