"""A variational autoencoder of two modalities that inform each other: one latent for either, or both.

Two encoders give a posterior each; where both modalities are there, their product. Each decoder gives
its modality back from every one of these posteriors, so that it is decoded from the other modality as
well, and a contrastive term makes the two posteriors of one cell meet (an interdependent bound). So a
cell of either modality has a place among cells of the other one: it predicts both ways, embeds, and
matches.

A network that learns from all peaks knows the training cells by heart. So encoders begin with what is
known in closed form, held out by group: the evidence that all features of one modality give of the
other. The answers of kernel ridge on the same views are mixed in, by the share that validation rows
choose.

`generate` draws new cells of both modalities from one latent of each (`_multivae_drawn`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from scipy import sparse

from scgx.learn.artifact import pack_arrays, unpack_arrays
from scgx.learn.block import CellBlock
from scgx.learn.config import knob
from scgx.learn.covariates import Covariates
from scgx.learn.data import TrainingData
from scgx.learn.lsi import unit_rows
from scgx.learn.residual import values
from scgx.learn.target import bounded
from scgx.models import _multivae_fixed as known
from scgx.models._multivae_fixed import Fixed, mixed
from scgx.progress import Report

if TYPE_CHECKING:
    from scgx.models._multivae_drawn import Prior
    from scgx.models._multivae_net import Cells, Network

FROM = {"atac", "activity", "rna", "adt"}
TO = {"rna", "atac", "adt", "activity"}
JOINT = True
LOOKS = ("atac", "activity", "rna", "adt")  # which of two sides looks: the one named first


@dataclass(frozen=True)
class Config:
    """The network, what it learns, and how it is trained."""

    latent: int = knob(64, least=1)  # dimensions of the latent
    common: int = knob(32, least=1)  # of these, the first so many are where modalities meet
    hidden: int = knob(512, least=1)  # units of a hidden layer
    dropout: float = knob(0.3, most=0.99)  # of hidden units
    members: int = knob(2, least=1)  # autoencoders in whose latents modalities meet
    foreseers: int = knob(2)  # autoencoders that learn values alone, and answer for these
    encoder: Literal["evidence", "wide", "dilated"] = "evidence"  # what encoders see of a cell
    wide: int = knob(64, least=1)  # wide, dilated: units that see the features themselves
    channels: int = knob(8, least=1)  # dilated: of a convolution
    bin: int = knob(1_000_000, least=1)  # dilated: base pairs that are counted together
    combine: Literal["product", "mixture"] = "product"  # posterior of both modalities
    likelihood: Literal["bernoulli", "poisson"] = "bernoulli"  # of peaks; poisson takes counts
    values: float = 10.0  # weight of the squared error of log values
    counts: float = 0.8  # weight of the likelihood of counts, negative binomial; 0 needs none
    peaks: float = 0.2  # weight of the likelihood of peaks
    both: float = 1.0  # weight of the posterior of both modalities, where each alone weighs 1
    beta: float = 1e-4  # weight of the divergence from the prior
    contrast: float = 0.5  # weight of matching the cells of a batch (InfoNCE)
    divergence: float = 0.0  # weight of the symmetrised divergence of the two posteriors
    adversary: float = 0.0  # weight of hiding the first covariate from the latent
    components: int = knob(30, least=2)  # of the modalities, in closed form
    shown: int = knob(20, least=2)  # of these, the first so many are what encoders see
    cells: int = knob(10_000, least=2)  # training cells for what is known in closed form
    peaks_at_once: int = knob(4096, least=1)  # that are decoded in one step
    share: float = knob(-1.0, least=-1, most=1)  # of the network in answers; below 0 chooses
    epochs: int = knob(15, least=1)  # at most so many passes over the training rows
    batch_size: int = knob(256, least=2)  # cells per step; fewer where cells are few
    lr: float = knob(2e-3, least=1e-9, most=1)  # highest learning rate; climbs, then falls
    weight_decay: float = 0.01  # of AdamW
    patience: int = knob(8, least=1)  # epochs without a better validation loss before stopping
    covariates: tuple[str, ...] = ()  # obs columns that the decoders are told
    device: str = "auto"  # auto, cpu or cuda
    precision: Literal["auto", "fp32", "tf32", "bf16"] = "auto"  # auto: bf16 on cuda, else fp32


class Model:
    """What is known in closed form, the network, and how much either counts."""

    def __init__(
        self,
        fixed: Fixed,
        network: "Network",
        config: Config,
        inputs_look: bool,
        shares: np.ndarray,
        prior: "Prior | None",
    ) -> None:
        self.fixed, self.config, self.prior = fixed, config, prior
        self.network = network.double()  # so that a cell's place in a block does not show
        self.inputs_look = inputs_look
        self.shares = shares  # (2,) float32: of the network in answers of look and seen

    @classmethod
    def fit(cls, data: TrainingData, config: Config, *, seed: int, report: Report) -> Self:
        """Closed form on the training rows, then the torch loop; data.val stops it."""
        from scgx.learn.loop import require_device
        from scgx.models import _mlp_net as mlp
        from scgx.models import _multivae_drawn as drawn
        from scgx.models import _multivae_loss as bound
        from scgx.models import _multivae_net as net
        from scgx.models import _multivae_start as start

        require_device(config.device)
        ends = data.inputs.modality, data.outputs.modality
        looks = LOOKS.index(ends[0]) <= LOOKS.index(ends[1])
        data = data if looks else data.turned()
        fixed, views = known.fit(data, config, seed=seed)
        layout = start.layout(data, config)
        counted = start.counted(data, config, fixed, report)
        shape = start.shape(fixed, config, len(data.inputs), counted)
        begin = start.start(data, fixed, shape)
        network = net.build(shape, config, layout, start=begin, seed=seed)
        rows = np.concatenate([data.train, data.val])
        codes = fixed.covariates.codes(data.obs)[rows]
        told = start.told(fixed, views, config, counted)
        pairs = bound.Pairs(data, told, (codes, views.library), name=repr(config), seed=seed)
        mlp.train(network, bound.loss_of, pairs, config, seed=seed, report=report)
        model = cls(fixed, network, config, looks, np.full(2, 0.5, np.float32), None)
        model.shares = start.shares(data, views, fixed, config.share, model._answers)
        report.say(f"share of the network {model.shares[1]:g} for {data.outputs.modality},"
                   f" {model.shares[0]:g} for {data.inputs.modality}")  # fmt: skip
        model.prior = drawn.learned(
            data, views, network, float(fixed.ends.library[0]), model._cells, seed=seed
        )
        return model

    def save(self) -> Mapping[str, bytes]:
        arrays = {
            name: weight.float().numpy() if weight.is_floating_point() else weight.numpy()
            for name, weight in self.network.state_dict().items()
        }
        ends = {"looks": np.array([self.inputs_look], np.uint8), "shares": self.shares}
        parts_ = self.fixed.save() | {"network": arrays, "roles": ends}
        made = {f"{name}.safetensors": pack_arrays(part) for name, part in parts_.items()}
        made["covariates.json"] = self.fixed.covariates.save()
        return made if self.prior is None else made | {"prior.safetensors": self.prior.save()}

    @classmethod
    def restore(cls, config: Config, members: Mapping[str, bytes]) -> Self:
        from scgx.models import _mlp_net as mlp
        from scgx.models import _multivae_net as net
        from scgx.models import _multivae_start as start
        from scgx.models._multivae_beside import Layout
        from scgx.models._multivae_drawn import Prior

        def part(name: str) -> dict[str, np.ndarray]:
            return unpack_arrays(members[f"{name}.safetensors"])

        fixed = Fixed.restore(part, Covariates.restore(members["covariates.json"]))
        arrays, roles = part("network"), part("roles")
        first = "members.0."
        counted = f"{first}to_look.share.bias" in arrays, f"{first}to_seen.share.bias" in arrays
        features = len(arrays[f"{first}to_look.base"])
        shape = start.shape(fixed, config, features, counted)
        layout = None
        if f"{first}look.beside.slot" in arrays:
            inside = arrays[f"{first}look.beside.inside"] > 0
            layout = Layout(arrays[f"{first}look.beside.slot"], inside)
        network = net.build(shape, config, layout, start=None, seed=0)
        mlp.load(network, arrays)
        prior = members.get("prior.safetensors")
        drawn = None if prior is None else Prior.restore(prior)
        return cls(fixed, network, config, bool(roles["looks"][0]), roles["shares"], drawn)

    def predict(self, block: CellBlock) -> np.ndarray:
        """(n, outputs) float32 in the outputs' units."""
        return self._see(block) if self.inputs_look else self._look(block)

    def predict_back(self, block: CellBlock) -> np.ndarray:
        """(n, inputs) float32 in the inputs' units, of a block of outputs."""
        return self._look(block) if self.inputs_look else self._see(block)

    def embed_pair(self, source: CellBlock | None, target: CellBlock | None) -> np.ndarray:
        """(n, members * common) float32, of unit length: of the inputs, the outputs, or both."""
        from scgx.models import _multivae_net as net

        look, seen = (source, target) if self.inputs_look else (target, source)
        found = net.places(
            self.network,
            net.meet(self.network),
            None if look is None else self._cells(look.x, self._view(look, 0), 0),
            None if seen is None else self._cells(seen.x, self._view(seen, 1), 1),
        )
        common = [z[:, : self.config.common] for z in found]
        units = [z / z.norm(dim=1, keepdim=True).clamp_min(1e-12) for z in common]
        made = np.hstack([unit.numpy() for unit in units]) / np.sqrt(len(units))
        return made.astype(np.float32)

    @property
    def covariates(self) -> Covariates:
        """What its decoders are told of a cell."""
        return self.fixed.covariates

    @property
    def pair_units(self) -> tuple[str, str] | None:
        """Units of drawn inputs and outputs; None where it draws none."""
        if self.prior is None:
            return None
        is_binary = self.fixed.is_open and self.config.likelihood == "bernoulli"
        units = "binary" if is_binary else "counts", "counts"
        return units if self.inputs_look else units[::-1]

    def generate_pair(
        self, codes: np.ndarray, rng: np.random.Generator
    ) -> tuple[sparse.csr_array, sparse.csr_array]:
        """CSR int32 of inputs and outputs of new cells, for codes of covariates (n, columns)."""
        from scgx.models._multivae_drawn import Pairs

        assert self.prior is not None
        pairs = Pairs(self.network, float(self.fixed.ends.library[0]), self.prior)
        look, seen = pairs(codes, rng)
        return (look, seen) if self.inputs_look else (seen, look)

    def _view(self, block: CellBlock, side: int) -> np.ndarray:
        view = self.fixed.seen_view if side else self.fixed.look_view
        return view(block.x, block.present)

    def _cells(self, x: sparse.csr_array, view: np.ndarray, side: int) -> "Cells":
        """What an encoder sees."""
        from scgx.models._multivae_beside import Rows
        from scgx.models._multivae_net import Cells

        rows = None
        if self.config.encoder != "evidence":
            weight = 1 / self.fixed.loadings.scale if side else self.fixed.evidence.foresight.weight
            rows = Rows.of(unit_rows(x, weight))
        return Cells(view.astype(np.float64) / self.fixed.ends.size[side], rows)

    def _see(self, block: CellBlock) -> np.ndarray:
        """The seen side, from a block of the looking one."""
        view, codes = self._view(block, 0), self.fixed.covariates.codes(block.obs)
        ends = self._answers(1, block.x, view, codes)
        return bounded(mixed(*ends, float(self.shares[1])), self.fixed.ends.seen_limits)

    def _look(self, block: CellBlock) -> np.ndarray:
        """The looking side, from a block of the seen one."""
        view, codes = self._view(block, 1), self.fixed.covariates.codes(block.obs)
        ends = self._answers(0, block.x, view, codes)
        return bounded(mixed(*ends, float(self.shares[0])), self.fixed.ends.look_limits)

    def _answers(
        self, side: int, x: sparse.csr_array, view: np.ndarray, codes: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """What kernel ridge and the network say of a side, from cells x of the other one."""
        from scgx.models import _multivae_net as net

        fixed, cells = self.fixed, self._cells(x, view, 1 - side)
        ends = (None, cells) if side == 0 else (cells, None)
        z = net.places(self.network, net.answer(self.network, side), *ends)
        library = fixed.log_library(view) if side == 0 else None
        found = net.decode(self.network, z, codes, side, library)
        if library is None:
            found = values(found, fixed.loadings if side else fixed.look_loadings)
        return (fixed.seen_of if side else fixed.look_of)(view), found
