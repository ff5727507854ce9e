"""`scgx tune --emit`: the command lines of trials, as lines or as a Job of Kubernetes."""

from collections.abc import Sequence
from pathlib import Path

from scgx.cluster import manifest, place
from scgx.errors import UsageError

WORDS = ("commands", "kubernetes", "kubernetes:FILE")


def checked(word: str | None) -> place.Place | None:
    """Where emitted lines are to run; None where they are only printed. UsageError for other words."""
    if word in (None, "commands"):
        return None
    if word.partition(":")[0] != "kubernetes":  # type: ignore[union-attr]
        raise UsageError(f"--emit {word!r} is no form", fix=", ".join(WORDS))
    return place.parse(word)  # type: ignore[arg-type]


def text(lines: Sequence[str], where: place.Place | None, study: Path) -> str:
    """What is printed."""
    if where is None:
        return "".join(f"{line}\n" for line in lines)
    return manifest.text(manifest.job(lines, where, f"scgx-{study.stem}"))
