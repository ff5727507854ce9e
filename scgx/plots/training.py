"""How training went: losses by epoch, variance by component."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from scgx.errors import UsageError
from scgx.plots.canvas import canvas, check_kind, save


def curve(records: Sequence[Mapping[str, object]], path: Path) -> None:
    """Training and validation loss per epoch, and the epoch whose weights were kept.

    A record has `epoch`, `train_loss` and `val_loss` (None without validation rows). A model that
    does not train in epochs has no records, which is a usage error.
    """
    kind = check_kind(path)
    rows = [record for record in records if "epoch" in record]
    if not rows:
        raise UsageError("--plot needs a model that trains in epochs", fix="leave it out")
    figure = canvas(7, 4)
    axis = figure.add_subplot()
    epochs = [_number(record["epoch"]) for record in rows]
    for name, words in (("train_loss", "training"), ("val_loss", "validation")):
        values = [_number(record.get(name)) for record in rows]
        if np.isfinite(values).any():
            axis.plot(epochs, values, label=words, marker="." if len(values) < 30 else "")
    judged = np.array([_number(record.get("val_loss")) for record in rows])
    losses = np.array([_number(record.get("train_loss")) for record in rows])
    stopped = np.isfinite(judged).any()  # without validation rows the last epoch is kept
    best = int(np.nanargmin(judged)) if stopped else len(rows) - 1
    judged = judged if stopped else losses
    if np.isfinite(judged[best]):
        axis.axvline(epochs[best], color="0.5", linestyle=":", zorder=0)
        axis.plot(epochs[best], judged[best], "o", color="black", markersize=5)
        late = epochs[best] > (epochs[0] + epochs[-1]) / 2
        axis.annotate(
            f"kept: epoch {epochs[best]:.0f}", (epochs[best], judged[best]),
            xytext=(-4 if late else 4, 8), textcoords="offset points",
            horizontalalignment="right" if late else "left",
        )  # fmt: skip
    axis.set_xlabel("epoch")
    axis.locator_params(axis="x", integer=True)
    axis.set_ylabel("loss")
    axis.legend(frameon=False)
    save(figure, path, kind)


def explained(share: np.ndarray, path: Path) -> None:
    """Share of the variance that each component holds (n,), and all up to it together."""
    kind = check_kind(path)
    figure = canvas(7, 4)
    axis = figure.add_subplot()
    order = np.arange(1, len(share) + 1)
    axis.bar(order, 100 * share, color="#7fa8cf", width=0.9)
    axis.set_xlabel("component")
    axis.locator_params(axis="x", integer=True)
    axis.set_ylabel("% of the variance")
    beside = axis.twinx()
    beside.plot(order, 100 * np.cumsum(share), color="#1f5a94", marker=".")
    beside.set_ylim(bottom=0)
    beside.set_ylabel("% up to it", color="#1f5a94")
    save(figure, path, kind)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")
