"""What is normalised, and how attention is made sparse, in `tabnet`."""

from typing import Any, Protocol

import torch
from torch import Tensor, nn

from scgx.learn import distributed

EPSILON = 1e-5  # as torch's batch norm has it


class Shape(Protocol):
    """What a network is told about itself."""

    @property
    def width(self) -> int: ...
    @property
    def steps(self) -> int: ...
    @property
    def shared(self) -> int: ...
    @property
    def own(self) -> int: ...
    @property
    def gamma(self) -> float: ...
    @property
    def sharpness(self) -> float: ...
    @property
    def ghost(self) -> int: ...
    @property
    def momentum(self) -> float: ...
    @property
    def hide(self) -> float: ...


class _Sparsemax(torch.autograd.Function):
    """Rows (n, k) to the nearest points of the simplex (Martins & Astudillo 2016).

    The threshold is found by Newton's steps from below: exact, without a sort, and a row that has it
    stays as it is, whatever the others need. Each step leaves fewer above it; where rounding lets one
    of them return, the row has it too, or it would go to and fro for ever.
    """

    @staticmethod
    def forward(ctx: Any, scores: Tensor) -> Tensor:
        threshold = scores.amax(dim=1, keepdim=True) - 1
        count = torch.full_like(threshold, torch.inf)
        while True:
            above = (scores - threshold).clamp_min_(0)
            left = above.sign().sum(dim=1, keepdim=True)
            fewer = left < count
            if not fewer.any():
                break
            rise = (above.sum(dim=1, keepdim=True) - 1) / left
            threshold = torch.where(fewer, threshold + rise, threshold)
            count = torch.where(fewer, left, count)
        ctx.save_for_backward(above.sign(), left)
        return above

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Tensor:
        kept, count = ctx.saved_tensors
        slope = slopes[0] * kept
        return (slope - slope.sum(dim=1, keepdim=True) / count) * kept


def sparsemax(scores: Tensor) -> Tensor:
    """Shares (n, k) that sum to one in each row, most of them 0."""
    return _Sparsemax.apply(scores)  # type: ignore[no-any-return, no-untyped-call]


class GhostNorm(nn.Module):
    """Batch norm over `ghost` cells at a time while training, over all that were seen at use.

    What was seen is a plain mean at first, for behind a mask variances are a ten-thousandth of one, and
    a moving mean that begins at one is far from that after hundreds of steps.
    """

    def __init__(self, width: int, shape: Shape) -> None:
        super().__init__()
        self.ghost, self.momentum = shape.ghost, shape.momentum
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.mean: Tensor
        self.variance: Tensor
        self.seen: Tensor
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("variance", torch.ones(width))
        self.register_buffer("seen", torch.zeros(1, dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        """(n, width), normalised; a single cell has no deviation and takes that of those seen."""
        part = distributed.part_here() if self.training else None
        if part is not None:
            return self._together(x, part)
        parts = x.tensor_split(self._parts(len(x)))
        return torch.cat([self._part(part) for part in parts])

    def _part(self, x: Tensor) -> Tensor:
        if not self.training or len(x) == 1:
            return self._as_seen(x)
        self.seen += 1
        share = max(self.momentum, 1 / int(self.seen))
        return nn.functional.batch_norm(
            x, self.mean, self.variance, self.weight, self.bias, True, share
        )

    def _as_seen(self, x: Tensor) -> Tensor:
        known = self.mean, self.variance, self.weight, self.bias
        return nn.functional.batch_norm(x, *known, False)

    def _together(self, x: Tensor, part: distributed.Part) -> Tensor:
        """The same where the cells of a batch are in several processes: sums over all of them."""
        if part.total == 1:
            return self._as_seen(x)
        sizes = [
            len(each) for each in torch.arange(part.total).tensor_split(self._parts(part.total))
        ]
        count = torch.tensor(sizes, dtype=torch.float32, device=x.device)[:, None]
        group = torch.repeat_interleave(torch.tensor(sizes))[part.low :][: part.rows].to(x.device)
        own = x[: part.rows].float()
        nothing = own.new_zeros((len(sizes), x.shape[1]))
        mean = distributed.total(nothing.index_add(0, group, own)) / count
        squares = nothing.index_add(0, group, (own - mean[group]) ** 2)
        variance = distributed.total(squares) / count
        for i, size in enumerate(sizes):
            self.seen += 1
            share = max(self.momentum, 1 / int(self.seen))
            self.mean.lerp_(mean[i].detach(), share)
            self.variance.lerp_(variance[i].detach() * size / max(size - 1, 1), share)
        place = group if part.rows else torch.zeros(len(x), dtype=torch.int64, device=x.device)
        centred = (x - mean[place]) * (variance[place] + EPSILON).rsqrt()
        return centred * self.weight + self.bias

    def _parts(self, n: int) -> int:
        return max(1, n // self.ghost)
