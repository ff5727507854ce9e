"""Batches for torch: one part of every epoch per process, and per worker of a DataLoader.

    data = TorchBatches(Batches("cells.h5ad", 512, modality="rna", obs=["cell_type"]))
    loader = torch.utils.data.DataLoader(data, batch_size=None)
    for epoch in range(10):
        data.set_epoch(epoch)
        for batch in loader: ...

Under DDP make it after `init_process_group`, or give rank and world size. Every row comes once in an
epoch, in one process, and all processes make as many steps. Workers are of use where the model needs
the whole interpreter; a thread already reads ahead.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from scgx.learn.batches import Batch, Batches, Values
from scgx.learn.order import Shard


class TorchBatch(NamedTuple):
    """A `Batch` as tensors: values dense or sparse CSR, codes of labels int64 (-1 missing)."""

    values: dict[str, torch.Tensor]
    obs: dict[str, torch.Tensor]
    rows: torch.Tensor
    dataset: torch.Tensor

    @property
    def x(self) -> torch.Tensor:
        """The first, or only, modality."""
        return next(iter(self.values.values()))


class TorchBatches(IterableDataset[TorchBatch]):
    """Batches of this process and worker; a loader takes it with batch_size=None."""

    def __init__(
        self, batches: Batches, *, rank: int | None = None, world_size: int | None = None
    ) -> None:
        """rank, world_size: of this process; by default what torch.distributed says, else 0 of 1."""
        self.data = batches
        joined = torch.distributed.is_available() and torch.distributed.is_initialized()
        self.rank = rank if rank is not None else torch.distributed.get_rank() if joined else 0
        world = torch.distributed.get_world_size() if joined else 1
        self.world_size = world if world_size is None else world_size
        self._epoch = torch.zeros(1, dtype=torch.int64).share_memory_()  # workers see it too
        self._seen, self._passes = 0, 0  # the last epoch that was set, and passes since then
        self._position = 0
        self._loaded = False

    @property
    def epoch(self) -> int:
        """The epoch of the next pass: the one set, and one more for each whole pass since then."""
        if int(self._epoch) != self._seen:
            self._seen, self._passes, self._position = int(self._epoch), 0, 0
        return self._seen + self._passes

    def set_epoch(self, epoch: int) -> None:
        """Whose order comes next; a loader with workers that end with each pass needs it told."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        """Batches of a pass in this process (of one worker)."""
        return len(self.data.cuts(Shard(self.rank, self.world_size))) - 1

    def __iter__(self) -> Iterator[TorchBatch]:
        info = get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        shard = Shard(self.rank * workers + worker, self.world_size * workers)
        epoch = self.epoch
        if self._position and not self._loaded:  # somebody left the last pass early
            self._passes, self._position, epoch = self._passes + 1, 0, epoch + 1
        self._loaded = False
        for batch in self.data.batches(epoch, shard=shard, start=self._position):
            self._position += 1
            yield tensors(batch)
        self._passes, self._position = self._passes + 1, 0

    def state_dict(self) -> dict[str, object]:
        """Where this process (or worker, for torchdata's StatefulDataLoader) is."""
        epoch = self.epoch
        return {**self.data.state_dict(), "epoch": epoch, "batch": self._position}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Go on with the next batch; DataError where the state is of another loader."""
        self.data.check_state(state)
        epoch = int(str(state["epoch"]))
        self.set_epoch(epoch)
        self._seen, self._passes, self._position = epoch, 0, int(str(state["batch"]))
        self._loaded = True


def tensors(batch: Batch) -> TorchBatch:
    """A batch as tensors that share its memory."""
    obs = {
        name: torch.from_numpy(values.astype(np.int64) if values.dtype == np.int32 else values)
        for name, values in batch.obs.items()
    }
    values = {name: _tensor(block) for name, block in batch.values.items()}
    rows, dataset = torch.from_numpy(batch.rows), torch.from_numpy(batch.dataset.astype(np.int64))
    return TorchBatch(values, obs, rows, dataset)


def _tensor(block: Values) -> torch.Tensor:
    if isinstance(block, np.ndarray):
        return torch.from_numpy(block)
    indptr, indices, data = map(torch.from_numpy, (block.indptr, block.indices, block.data))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
        return torch.sparse_csr_tensor(
            indptr, indices, data, size=block.shape, check_invariants=False
        )
