"""What an encoder of `multivae` may see beside its view: the features themselves, fed sparsely.

Either a wide first layer, of which only the rows of features that a cell has are touched; or the
genome: features are counted in bins along each chromosome, and dilated convolutions look ever
further. Between chromosomes lie empty bins that are emptied again after every convolution and are
wider than its reach, so that no window looks across an end.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional

KERNEL = 5
DILATIONS = (1, 2, 4, 8)
GAP = DILATIONS[-1] * (KERNEL // 2)
POOL = 16  # bins of one pool; chromosomes begin at multiples of it


class Rows(NamedTuple):
    """Sparse rows (n, features): indices int64, where each row begins int64, values float32."""

    indices: Tensor
    starts: Tensor
    values: Tensor

    @classmethod
    def of(cls, x: sparse.csr_array) -> "Rows":
        """From a CSR matrix."""
        return cls(
            torch.from_numpy(x.indices.astype(np.int64)),
            torch.from_numpy(x.indptr[:-1].astype(np.int64)),
            torch.from_numpy(x.data.astype(np.float32)),
        )

    def to(self, device: torch.device) -> "Rows":
        """The same on a device."""
        return Rows(*(each.to(device) for each in self))


class Wide(nn.Module):
    """A first layer over all features."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.table = nn.EmbeddingBag(features, width, mode="sum")
        nn.init.normal_(self.table.weight, std=0.1)
        self.base = nn.Parameter(torch.zeros(width))

    def forward(self, rows: Rows) -> Tensor:
        """(n, width)"""
        values = rows.values.to(self.base.dtype)
        found = self.table(rows.indices, rows.starts, per_sample_weights=values)
        return functional.gelu(found + self.base)


class Layout(NamedTuple):
    """Where features lie: a slot per feature (-1: nowhere), and which slots are bins (slots,)."""

    slot: np.ndarray
    inside: np.ndarray

    @classmethod
    def of(cls, chrom: np.ndarray, start: np.ndarray, bin_: int) -> "Layout":
        """Features (n,) in bins of so many base pairs, one chromosome after another by name."""
        slot = np.full(len(chrom), -1, np.int64)
        inside: list[np.ndarray] = []
        at = 0
        known = np.array([c is not None for c in chrom]) & (start >= 0)
        for name in sorted(set(chrom[known].tolist())):
            own = np.flatnonzero(known & (chrom == name))
            bins = start[own] // bin_
            slot[own] = at + bins
            size = int(bins.max()) + 1
            room = -(-(size + GAP) // POOL) * POOL
            inside.append(np.arange(room) < size)
            at += room
        return cls(slot, np.concatenate(inside) if inside else np.zeros(POOL, bool))


class Genome(nn.Module):
    """Dilated convolutions along the chromosomes, pooled, to a few numbers."""

    slot: Tensor
    inside: Tensor

    def __init__(self, layout: Layout, channels: int, width: int) -> None:
        super().__init__()
        self.register_buffer("slot", torch.from_numpy(layout.slot))
        self.register_buffer("inside", torch.from_numpy(layout.inside.astype(np.float32)))
        self.convolutions = nn.ModuleList(
            nn.Conv1d(1 if i == 0 else channels, channels, KERNEL, dilation=d,
                      padding=d * (KERNEL // 2))
            for i, d in enumerate(DILATIONS)
        )  # fmt: skip
        self.out = nn.Linear(channels * (len(layout.inside) // POOL), width)

    def features(self, rows: Rows) -> Tensor:
        """(n, channels, slots) before they are pooled."""
        n, slots = len(rows.starts), len(self.inside)
        ends = torch.cat([rows.starts[1:], rows.starts.new_tensor([len(rows.indices)])])
        row = torch.repeat_interleave(
            torch.arange(n, device=self.inside.device), ends - rows.starts
        )
        slot = self.slot[rows.indices]
        placed = slot >= 0
        flat = torch.zeros(n * slots, dtype=self.out.weight.dtype, device=self.inside.device)
        values = rows.values.to(flat.dtype)
        flat = flat.index_add(0, row[placed] * slots + slot[placed], values[placed])
        x = flat.view(n, 1, slots)
        for i, convolution in enumerate(self.convolutions):
            y = functional.gelu(convolution(x)) * self.inside
            x = y if i == 0 else x + y
        return x

    def forward(self, rows: Rows) -> Tensor:
        """(n, width)"""
        pooled = functional.avg_pool1d(self.features(rows), POOL)
        return functional.gelu(self.out(pooled.flatten(1)))


def beside(features: int, layout: Layout | None, config: Any) -> nn.Module | None:
    """What the settings ask for; None is nothing."""
    if config.encoder == "dilated" and layout is not None:
        return Genome(layout, config.channels, config.wide)
    return None if config.encoder == "evidence" else Wide(features, config.wide)
