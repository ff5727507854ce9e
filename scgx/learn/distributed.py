"""Several processes that learn one model: what they tell each other, and when.

All of them hold the same weights and take the same steps. In each step a process has some rows of the
batch; gradients are added up, and divided by the rows of all, which is the gradient of the batch. One
message a step carries gradients and loss, so that all decide alike. Chance is drawn for the whole batch
in every process, and each keeps what falls on its rows: dropout is then that of one process. A process
that has no row of a batch goes through an earlier one and counts for nothing, for the others wait.
Where a network is judged nothing is drawn, or from a generator of its own: batches are dealt out whole.

A loss that is no mean over rows says so: by `fair` where it divides by a sum over the batch, by
`gather` or `total` where rows look at each other.
"""

from __future__ import annotations

import atexit
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, distributed, nn
from torch.utils._python_dispatch import TorchDispatchMode

from scgx.errors import DataError, MachineError
from scgx.learn import launched
from scgx.learn.shares import Share


class Part(NamedTuple):
    """Rows of a batch that are here: `rows` from `low` on, of `total` in all processes."""

    low: int
    rows: int
    total: int


_now: list[Part] = []  # the batch that a loss is worked out for, inside `part_of_batch`


def fair(amount: float) -> float:
    """What a loss over some rows of a batch has to divide by, in place of the sum over these rows.

    Means weighted by rows then add up to the whole sum over the sum of all.
    """
    if not _now:
        return amount
    part = _now[-1]
    told = torch.tensor([amount if part.rows else 0.0], dtype=torch.float64)
    whole = float(_summed(told)[0])
    return whole * part.rows / part.total if part.rows else amount


def gather(x: Tensor) -> tuple[Tensor, int]:
    """Rows (n, d) of all processes (total, d), with a way back for slopes, and where these begin."""
    if not _now:
        return x, 0
    return _Gathered.apply(x, _now[-1]), _now[-1].low  # type: ignore[no-untyped-call]


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, part: Part) -> Tensor:
        ctx.part, ctx.rows = part, len(x)
        whole = x.new_zeros((part.total, *x.shape[1:]))
        whole[part.low : part.low + part.rows] = x[: part.rows]
        return _summed(whole)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        part, whole = ctx.part, _summed(slopes[0].clone())
        mine = whole.new_zeros((ctx.rows, *whole.shape[1:]))
        mine[: part.rows] = whole[part.low : part.low + part.rows]
        return mine, None


def total(x: Tensor) -> Tensor:
    """The sum over processes, with a way back for slopes."""
    return _Total.apply(x) if _now else x  # type: ignore[no-any-return, no-untyped-call]


def part_here() -> Part | None:
    """Of a batch that several processes learn from together, what is here; None where one is alone."""
    return _now[-1] if _now else None


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _summed(x.clone())

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Tensor:
        return _summed(slopes[0].clone())


class Team:
    """The processes, as one of them sees them."""

    def __init__(self, place: launched.Place, device: torch.device) -> None:
        self.place, self.device = place, device

    @property
    def learning(self) -> Share:
        """What of the training rows is read here: a part of every batch."""
        return Share(self.place.number, self.place.total, counted=self._among)

    @property
    def judging(self) -> Share:
        """What of the validation rows is read here: every so many batches, whole."""
        return Share(self.place.number, self.place.total, whole=True)

    def begin(self, network: nn.Module, name: str) -> None:
        """Let all begin with the weights of the first; DataError where they have different data."""
        words = torch.tensor(list(name.encode()), dtype=torch.uint8)
        is_other = not torch.equal(self._told(words.clone()).cpu(), words)
        if any(self._counts(int(is_other))):
            raise DataError(
                "the processes have different data or settings",
                fix="the same file and options for all",
            )
        with torch.no_grad():
            for value in network.state_dict().values():
                value.copy_(self._told(value.detach().clone()))

    def bytes(self, state: bytes) -> bytes:
        """What the first process has, in all of them."""
        size = self._told(torch.tensor([len(state)]))
        told = torch.zeros(int(size[0]), dtype=torch.uint8)
        if self.place.is_first:
            told = torch.frombuffer(bytearray(state), dtype=torch.uint8)
        return self._told(told).cpu().numpy().tobytes()

    def batches(self, found: Iterable[Any]) -> Iterator[tuple[Any, Part]]:
        """Batches with what part of a batch of all they are, until nobody has one left."""
        coming, last = iter(found), None
        while True:
            batch = next(coming, None)
            counts = self._counts(0 if batch is None else len(batch.rows))
            if not any(counts):
                return
            if last is None and 0 in counts:
                raise DataError(
                    f"{self.place.total} processes, and fewer training cells in a step",
                    fix="start fewer of them",
                )
            last = last if batch is None else batch
            number = self.place.number
            yield last, Part(sum(counts[:number]), counts[number], sum(counts))

    @contextmanager
    def part_of_batch(self, part: Part, rows: int) -> Iterator[None]:
        """While a loss is worked out for `rows` rows: whose part it is, and chance for all of it."""
        _now.append(part)
        try:
            with _Chance(part, rows):
                yield
        finally:
            _now.pop()

    def backward(self, network: nn.Module, loss: Tensor, part: Part) -> float:
        """Slopes of the loss of the whole batch, in every process, and that loss."""
        with _heard():
            (loss * part.rows).backward()
        parameters = [each for each in network.parameters() if each.requires_grad]
        slopes = [torch.zeros_like(each) if each.grad is None else each.grad for each in parameters]
        ends = [loss.detach().float() * part.rows]
        ends += [loss.new_tensor(float(each.grad is not None)) for each in parameters]
        flat = torch.cat([*(each.float().reshape(-1) for each in slopes), torch.stack(ends)])
        flat = _summed(flat)
        sizes = [each.numel() for each in parameters]
        moves = flat[len(flat) - len(parameters) :].tolist()
        for each, slope, moved in zip(parameters, flat.split([*sizes, len(ends)]), moves):
            each.grad = (slope / part.total).view_as(each) if moved else None
        return float(flat[sum(sizes)]) / part.total

    def in_order(self, mine: Sequence[float]) -> list[float]:
        """Numbers of whole batches of all processes, in the order of the batches."""
        _, total = self._among(len(mine))
        found = torch.zeros(total, dtype=torch.float64)
        found[self.place.number :: self.place.total] = torch.tensor(mine, dtype=torch.float64)
        return _summed(found.to(self.device)).tolist()

    def _among(self, items: int) -> tuple[int, int]:
        counts = self._counts(items)
        return sum(counts[: self.place.number]), sum(counts)

    def _counts(self, items: int) -> list[int]:
        counts = torch.zeros(self.place.total, dtype=torch.int64)
        counts[self.place.number] = items
        return [int(each) for each in _summed(counts.to(self.device)).tolist()]

    def _told(self, value: Tensor) -> Tensor:
        there = value.to(self.device)
        with _heard():
            distributed.broadcast(there, src=0)
        return there


def team_of(device: torch.device) -> Team | None:
    """The processes that were started together; None where this one is alone."""
    place = launched.place()
    if place.total == 1:
        return None
    if not distributed.is_initialized():
        if device.type == "cuda":
            torch.cuda.set_device(device)
        with _heard():
            distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        atexit.register(_leave)
    return Team(place, device)


def _leave() -> None:
    if distributed.is_initialized():
        distributed.destroy_process_group()


def _summed(value: Tensor) -> Tensor:
    """The sum over processes, on the device where it is, or where messages have to be."""
    there = value
    if distributed.get_backend() == "nccl" and value.device.type == "cpu":
        there = value.to(torch.device("cuda", torch.cuda.current_device()))
    with _heard():
        distributed.all_reduce(there)
    return there.to(value.device)


@contextmanager
def _heard() -> Iterator[None]:
    """A process that is gone is a line, and no traceback of those that waited for it."""
    try:
        yield
    except RuntimeError as error:
        words = str(error).lower()
        if isinstance(error, distributed.DistError) or "gloo" in words or "connection" in words:
            raise MachineError(
                "another process of this training has ended", fix="what it said is why"
            ) from None
        raise


_IN_PLACE = ("bernoulli_", "uniform_", "normal_")
_SIZED = ("rand", "randn")
_LIKE = ("rand_like", "randn_like")


class _Chance(TorchDispatchMode):
    """What is drawn for rows of a batch is drawn for all its rows, of which this process keeps its own.

    A draw is one for rows where its first axis is a multiple of them; generators stay in step, since
    every process draws as much as one alone would.
    """

    def __init__(self, part: Part, rows: int) -> None:
        super().__init__()
        self.part, self.rows = part, rows

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        if name in _IN_PLACE and self._is_rows(args[0].shape):
            whole = _alike(args[0], self._grown(args[0].shape))
            func(whole, *args[1:], **kwargs)
            return args[0].copy_(self._own(whole, len(args[0])))
        if name in _SIZED and self._is_rows(args[0]):
            return self._own(func(self._grown(args[0]), *args[1:], **kwargs), args[0][0])
        if name in _LIKE and self._is_rows(args[0].shape):
            whole = _alike(args[0], self._grown(args[0].shape))
            return self._own(func(whole, *args[1:], **kwargs), len(args[0]))
        if name == "native_dropout" and self._is_rows(args[0].shape):
            x, chance = args[0], args[1]
            whole = torch.ones_like(_alike(x, self._grown(x.shape)))
            kept = self._own(func(whole, chance, True)[1], len(x))
            return x * kept / (1 - chance), kept
        return func(*args, **kwargs)

    def _is_rows(self, shape: Sequence[int]) -> bool:
        return len(shape) > 0 and shape[0] > 0 and shape[0] % self.rows == 0

    def _grown(self, shape: Sequence[int]) -> list[int]:
        return [shape[0] // self.rows * self.part.total, *shape[1:]]

    def _own(self, whole: Tensor, n: int) -> Tensor:
        each = n // self.rows
        if self.part.rows:
            return whole[self.part.low * each :][:n].clone()
        return whole[torch.arange(n, device=whole.device) % len(whole)]


def _alike(x: Tensor, shape: Sequence[int]) -> Tensor:
    """An empty tensor of that shape whose axes lie in memory in the order of those of x."""
    order = sorted(range(x.dim()), key=lambda i: (-x.stride()[i], i))
    back = [order.index(i) for i in range(x.dim())]
    return x.new_empty([shape[i] for i in order]).permute(back)
