"""TabNet: a few steps, each of which looks at few genes, chosen for each cell by what it saw before.

The masks say which genes a cell was called by: `scgx explain` shows their means, and no gradient is
needed. Rows stream from disk. With `pretrain`, the network first learns to fill
in genes that are hidden from it, without labels.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

import numpy as np

from scgx.learn.artifact import pack_arrays, unpack_arrays
from scgx.learn.block import CellBlock
from scgx.learn.config import knob
from scgx.learn.labels import LabelledData
from scgx.learn.model import Why
from scgx.learn.prepared import Standard
from scgx.learn.selection import parts
from scgx.progress import Report

if TYPE_CHECKING:
    from scgx.models._tabnet_net import TabNet

FROM: set[str] = set()
TO: set[str] = set()
LABELS = {"rna", "activity", "atac", "adt"}
ROWS = 512


@dataclass(frozen=True)
class Config:
    """The shape of the network and how it is trained."""

    width: int = knob(32, least=1)  # units that decide, and as many that attend (n_d = n_a)
    steps: int = knob(3, least=1)  # looks at the cell
    gamma: float = knob(1.3, least=1)  # 1: a gene is looked at in one step only; more relaxes it
    sparsity: float = 1e-3  # what the entropy of the masks weighs in the loss
    sharpness: float = knob(0.1, least=1e-6)  # how narrow masks are; 1 is the published network
    shared: int = knob(2, least=1)  # gated layers whose weights all steps share
    own: int = 2  # gated layers of each step
    ghost: int = knob(128, least=2)  # cells that are normalised together
    momentum: float = knob(0.05, least=1e-6, most=1)  # how fast the norms for use follow
    pretrain: int = 0  # epochs of filling in hidden genes before labels are seen
    masked: float = knob(0.2, least=0.01, most=0.99)  # share of genes hidden while pre-training
    hide: float = knob(0.2, most=0.99)  # share of genes that are hidden from each training cell
    scale: Literal["one", "each"] = "one"  # deviation that genes are divided by: shared, or its own
    balance: float = knob(0.5, least=0, most=1)  # of classes: 0 each cell alike, 1 each class
    smoothing: float = knob(0.1, most=0.99)  # of a label that goes to the other classes
    epochs: int = knob(30, least=1)  # at most so many passes over the training rows
    batch_size: int = knob(128, least=1)  # cells per step; fewer where cells are few
    lr: float = knob(0.01, least=1e-9, most=1)  # highest learning rate; climbs, then falls
    weight_decay: float = 0.01  # of AdamW
    patience: int = knob(30, least=1)  # epochs without a better validation loss before stopping
    device: str = "auto"  # auto, cpu or cuda
    precision: Literal["auto", "fp32", "tf32", "bf16"] = "auto"  # auto: bf16 on cuda, else fp32


class Model:
    """The network, and where it looked in its training cells."""

    def __init__(self, standard: Standard, network: "TabNet", masks: np.ndarray) -> None:
        self.standard = standard
        self.network = network
        self.masks = masks  # (features, classes) float32: mean attention over training cells

    @classmethod
    def fit(cls, data: LabelledData, config: Config, *, seed: int, report: Report) -> Self:
        """Mean and deviation from the training rows, then the torch loop; data.val stops it."""
        from scgx.learn.loop import require_device
        from scgx.models import _classifier_net as plain
        from scgx.models import _tabnet_net as net

        require_device(config.device)
        standard = plain.standard_of(data, each=config.scale == "each")
        network = net.network_of((len(standard.centre), len(data.classes)), config, seed=seed)
        if config.pretrain and not report.resume:
            net.pretrain(network, standard, data, config, seed=seed, report=report)
        net.train(network, standard, data, config, seed=seed, report=report)
        blocks = (data.block(data.cells_train[part]) for part in parts(len(data.cells_train), ROWS))
        masks, _ = net.attention(network, standard, blocks)
        return cls(standard, network, masks.astype(np.float32))

    def save(self) -> Mapping[str, bytes]:
        from scgx.models import _mlp_net as net

        return {
            "standard.safetensors": pack_arrays(self.standard._asdict()),
            "masks.safetensors": pack_arrays({"masks": self.masks}),
            "network.safetensors": pack_arrays(net.weights(self.network)),
        }

    @classmethod
    def restore(cls, config: Config, members: Mapping[str, bytes]) -> Self:
        from scgx.models import _mlp_net as plain
        from scgx.models import _tabnet_net as net

        standard = Standard(**unpack_arrays(members["standard.safetensors"]))
        arrays = unpack_arrays(members["network.safetensors"])
        shape = (len(standard.centre), len(arrays["last.bias"]))
        network = net.network_of(shape, config, seed=0)
        plain.load(network, arrays)
        masks = unpack_arrays(members["masks.safetensors"])["masks"]
        return cls(standard, network, masks)

    def scores(self, block: CellBlock) -> np.ndarray:
        """(n, classes) float32: logits; a gene that the file lacks is not looked at."""
        from scgx.models import _tabnet_net as net

        return net.answer(self.network, self.standard, block.x, block.present)

    def explain(self, blocks: Iterator[CellBlock]) -> Why:
        """Mean attention to each gene, in the training cells or in these, by what they are called."""
        from scgx.models import _tabnet_net as net

        made, cells = net.attention(self.network, self.standard, blocks)
        if cells.any():
            return Why("mean share of attention over the cells called the class", made)
        return Why("mean share of attention over the training cells called the class", self.masks)
