"""Where pictures are drawn and how they are written: no window, whole or not at all, same bytes."""

from pathlib import Path
from typing import TYPE_CHECKING

from scgx.errors import MachineError, UsageError
from scgx.h5ad import streams

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = ("png", "svg", "pdf")


def check_kind(path: Path) -> str:
    """The kind that the suffix asks for, png for `-`; a usage error for any other."""
    if str(path) == "-":
        return "png"
    kind = path.suffix.lower().removeprefix(".")
    if kind not in KINDS:
        raise UsageError(f"{str(path)!r} is no picture", fix="end it in .png, .svg or .pdf")
    if not path.parent.is_dir():
        raise MachineError(f"folder {path.parent} does not exist", fix="make it first")
    return kind


def canvas(width: float, height: float) -> "Figure":
    """A figure without a window, so that no display is needed."""
    try:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MachineError(
            "--plot needs matplotlib, which is not installed", fix="pip install 'scgx[plot]'"
        ) from None
    matplotlib.rcParams["svg.hashsalt"] = "scgx"
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: "Figure", path: Path, kind: str) -> None:
    """Write whole or not at all; without a date, so that equal pictures are equal files."""
    metadata = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
    with streams.sink(str(path)) as dst:
        figure.savefig(dst.path, format=kind, dpi=150, metadata=metadata[kind])


def colours(n: int) -> list[tuple[float, float, float, float]]:
    """n colours: forty that differ well, more around the wheel."""
    import matplotlib

    if n <= 10:
        return [matplotlib.colormaps["tab10"](i) for i in range(n)]
    if n <= 40:
        known = [matplotlib.colormaps[name](i) for name in ("tab20", "tab20b") for i in range(20)]
        return known[:n]
    return [matplotlib.colormaps["nipy_spectral"]((i + 0.5) / n) for i in range(n)]
