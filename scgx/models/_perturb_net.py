"""The transformer of `perturb`: genes are read into latents, and every gene asks what happens to it.

A token is what a gene is, plus its value, plus a flag and dose where it is perturbed: no token ever
loses its gene. Latents read all tokens by cross-attention, think among themselves together with a token
for each target, and every gene, again by what it is, reads from them. So the cost grows linearly with
the genes. Normalisation stands before attention (pre-LN).
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scgx.models._perturb_items import Words
from scgx.models._perturb_source import Batch


class Shape(NamedTuple):
    """Sizes: genes, targets known by name, components of the places of genes."""

    genes: int
    targets: int
    places: int


class Body(NamedTuple):
    """Sizes in between, and what a query is."""

    dim: int
    latents: int
    heads: int
    blocks: int
    dropout: float
    head: str  # linear | mlp
    queries: str  # gene | dose


class Known(NamedTuple):
    """What is fixed: places of genes (genes, k), scale of values and of changes (genes,)."""

    places: np.ndarray
    values: np.ndarray
    changes: np.ndarray


class Attention(nn.Module):
    """Rows of one set read rows of another, then think: pre-LN, with residuals."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.ask, self.tell = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.query, self.both = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim)
        self.out = nn.Linear(dim, dim)
        self.think = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, 2 * dim), nn.GELU(), nn.Dropout(dropout),
            nn.Linear(2 * dim, dim),
        )  # fmt: skip

    def forward(self, x: Tensor, other: Tensor, there: Tensor | None = None) -> Tensor:
        """x (n, a, dim) reads other (n, b, dim), of which only rows `there` (n, b) are."""
        n, a, dim = x.shape
        b = other.shape[1]
        q = self.query(self.ask(x)).view(n, a, self.heads, -1).transpose(1, 2)
        k, v = (
            part.view(n, b, self.heads, -1).transpose(1, 2)
            for part in self.both(self.tell(other)).split(dim, dim=-1)
        )
        mask = None if there is None else there[:, None, None, :]
        read = F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, dropout_p=self.dropout if self.training else 0.0
        )
        x = x + self.out(read.transpose(1, 2).reshape(n, a, dim))
        return x + self.think(x)


class Network(nn.Module):
    """Controls and perturbations to changes."""

    places: Tensor
    values: Tensor
    changes: Tensor

    def __init__(self, shape: Shape, body: Body, known: Known) -> None:
        super().__init__()
        dim = body.dim
        self.queries = body.queries
        for name, array in known._asdict().items():
            self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(array, np.float32)))
        self.gene = nn.Embedding(shape.genes, dim)
        self.side = nn.Linear(max(shape.places, 1), dim, bias=False)
        self.value = nn.Sequential(nn.Linear(1, dim), nn.GELU(), nn.Linear(dim, dim))
        self.target = nn.Embedding(shape.targets + 1, dim, padding_idx=0)
        self.dose = nn.Linear(1, dim)
        self.latents = nn.Parameter(torch.randn(body.latents, dim) * 0.2)
        self.read = Attention(dim, body.heads, body.dropout)
        self.blocks = nn.ModuleList(
            Attention(dim, body.heads, body.dropout) for _ in range(body.blocks)
        )
        self.write = Attention(dim, body.heads, body.dropout)
        before: list[nn.Module] = [nn.LayerNorm(dim)]
        if body.head == "mlp":
            before += [nn.Linear(dim, dim), nn.GELU()]
        last = nn.Linear(dim, 1)
        self.head = nn.Sequential(*before, last)
        self.inner = nn.Linear(dim, dim, bias=False)
        nn.init.normal_(self.gene.weight, std=0.02)
        nn.init.zeros_(self.inner.weight)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, x: Tensor, words: list[Tensor], present: Tensor | None = None) -> Tensor:
        """Changes (n, genes) of controls x (n, genes); genes that are not `present` are not read."""
        gene, target, dose, there = words
        identity = self.gene.weight + self.side(self.places)
        amount = torch.zeros_like(x)
        inside = gene >= 0
        amount.scatter_add_(1, gene.clamp(min=0), dose * (inside & there))
        flag = self.dose(amount[..., None]) - self.dose.bias
        relative = (x / self.values)[..., None]
        if self.queries == "gene":
            tokens = identity + self.value(relative) + flag
            asked = tokens
        else:  # as GPCP had it: what is not perturbed, or not expressed, loses its name
            tokens = relative * identity
            asked = amount[..., None] * identity
        of_target = self.target(target) + identity[gene.clamp(min=0)] * inside[..., None]
        pert = (of_target + self.dose.bias) * dose[..., None]
        pert = pert * there[..., None]
        latents = self.latents.expand(len(x), -1, -1)
        mask = None if present is None else present.expand(len(x), -1)
        latents = self.read(latents, tokens, mask)
        every = torch.cat([latents, pert], dim=1)
        able = torch.cat([torch.ones_like(latents[..., 0], dtype=torch.bool), there], dim=1)
        for block in self.blocks:
            every = block(every, every, able)
        read = self.write(asked, every, able)
        change = self.head(read)[..., 0]
        if self.queries == "gene":
            change = change + self.inner(pert.sum(dim=1)) @ identity.T
        return change * self.changes


class Committee(nn.Module):
    """Members that differ in their first weights; how far they differ says how sure they are."""

    def __init__(self, members: int, shape: Shape, body: Body, known: Known) -> None:
        super().__init__()
        self.members = nn.ModuleList(Network(shape, body, known) for _ in range(members))

    def forward(self, x: Tensor, words: list[Tensor], present: Tensor | None = None) -> Tensor:
        """(members, n, genes)."""
        return torch.stack([member(x, words, present) for member in self.members])


def committee(members: int, shape: Shape, body: Body, known: Known, *, seed: int) -> Committee:
    """A committee with seeded first weights; torch's generator is untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Committee(members, shape, body, known).eval()


class Objective:
    """Squared error of the mean change, weighted by gene; how far cells are from perturbed cells."""

    def __init__(self, weight: np.ndarray, scale: np.ndarray, energy: float) -> None:
        """`weight` and `scale` float32 (genes,); `energy` weighs the distance between sets of cells."""
        self.weight, self.scale = torch.from_numpy(weight), torch.from_numpy(scale)
        self.energy = energy

    def __call__(self, network: nn.Module, batch: Batch, device: torch.device) -> Tensor:
        """The mean over the conditions of a batch, and over members."""
        n, cells, genes = batch.x.shape
        x = torch.from_numpy(batch.x).to(device)
        words = tensors(batch.words, repeat=cells, device=device)
        made = network(x.view(n * cells, genes), words).view(-1, n, cells, genes)
        if not network.training:
            made = made.mean(dim=0, keepdim=True)
        truth = torch.from_numpy(batch.change).to(device)
        scale = self.scale.to(device)
        error = (((made.mean(dim=2) - truth) / scale) ** 2 * self.weight.to(device)).mean()
        if batch.y is None:
            return error
        moved = (x + made) / scale
        real = (torch.from_numpy(batch.y).to(device) / scale)[None].expand_as(moved)
        return error + self.energy * _energy(moved, real)


def _energy(x: Tensor, y: Tensor) -> Tensor:
    """Energy distance between sets (..., cells, genes), unbiased, per root of the genes."""
    m = x.shape[-2]
    across = torch.cdist(x, y).mean(dim=(-1, -2))
    within = sum(torch.cdist(each, each).sum(dim=(-1, -2)) / (m * max(m - 1, 1)) for each in (x, y))
    return ((2 * across - within) / x.shape[-1] ** 0.5).mean()


def tensors(words: Words, *, repeat: int, device: torch.device) -> list[Tensor]:
    """Words for `repeat` cells of each perturbation."""
    return [torch.from_numpy(np.repeat(part, repeat, axis=0)).to(device) for part in words]


@torch.no_grad()
def changes(network: Committee, x: np.ndarray, words: Words, present: np.ndarray) -> np.ndarray:
    """Float32 (members, n, genes) of controls x (n, genes), under one perturbation, in fixed slices."""
    step, made = 32, []
    mask = None if present.all() else torch.from_numpy(present)[None]
    for start in range(0, len(x), step):
        some = torch.from_numpy(np.ascontiguousarray(x[start : start + step]))
        told = tensors(words, repeat=len(some), device=some.device)
        made.append(network(some, told, mask).numpy())
    return np.concatenate(made, axis=1)
