"""What is freed leaves the process: large arrays get pages of their own."""

import contextlib
import ctypes

_MMAP_THRESHOLD = -3  # of mallopt
_LARGE = 8 << 20


def give_back_freed() -> None:
    """Large arrays go back to the machine when they are freed, from now on, and not to a heap.

    glibc raises the size from which they do (up to 32 MiB) as such arrays are freed; then those of
    some megabytes, in several threads, leave holes: a fifth of what a long run holds. Elsewhere
    nothing is changed.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, _LARGE)
