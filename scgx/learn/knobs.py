"""What `train` reads from its options before any data: knobs, names of targets, the NaN policy."""

from pathlib import Path

from scgx import registry
from scgx.errors import InputError, UsageError
from scgx.learn import config
from scgx.learn.model import parts_for


def settings_of(
    model: str,
    assignments: list[str],
    toml: Path | None,
    *,
    covariates: list[str] | None,
    epochs: int | None,
    device: str,
    labels: bool = False,
) -> object:
    """The Config of a model from --set, TOML and the run options; a mistake is a usage error."""
    kind = parts_for(registry.load("models", model), labels=labels).config
    given = None if device == "auto" else device
    chosen = tuple(covariates) if covariates else None
    roles = {"covariates": chosen, "epochs": epochs, "device": given}
    return config.build(kind, assignments, toml, roles)


def missing_weight(word: str | None) -> float | None:
    """`mask` is 0; a number in 0..1 is itself; None refuses missing values."""
    if word is None:
        return None
    if word == "mask":
        return 0.0
    try:
        weight = float(word)
    except ValueError:
        weight = -1.0
    if not 0 <= weight <= 1:
        raise UsageError(f"--na {word!r} is neither 'mask' nor a weight from 0 to 1")
    return weight


def read_lines(path: Path) -> list[str]:
    """The lines of a text; InputError where it is not there, or none."""
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise InputError("no such file", file=str(path)) from None
    except UnicodeDecodeError:
        raise InputError("is no text", fix="one name a line", file=str(path)) from None


def read_names(path: Path | None) -> tuple[str, ...]:
    """One name a line, up to a tab if there is one; blank lines and lines with # are left out."""
    if path is None:
        return ()
    lines = read_lines(path)
    first = (line.split("\t")[0].strip() for line in lines if not line.startswith("#"))
    names = tuple(name for name in first if name)
    if not names:
        raise InputError("names nothing", fix="one name a line", file=str(path))
    return names
