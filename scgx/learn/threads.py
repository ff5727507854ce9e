"""How many threads the numerical libraries use; must be said before they are imported."""

import os


def limit(threads: int | None) -> None:
    """Set the thread count of BLAS, OpenMP and torch through their environment variables."""
    if threads is not None:
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ[name] = str(threads)
