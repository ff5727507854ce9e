"""The roles of `train`: what kind of model learns what, and which options belong to which kind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scgx import registry
from scgx.errors import UsageError

if TYPE_CHECKING:
    from scgx.h5ad.cells import Cells
    from scgx.learn.train import Fitted
    from scgx.progress import Report

LEAST = 10
KINDS = {
    "modality": "a model of modalities",
    "labels": "a classifier",
    "generation": "a generator",
    "embedding": "an embedding",
    "response": "a model of responses",
}


@dataclass(frozen=True)
class Roles:
    """What the command line says of roles; None where it says nothing."""

    source: str | None = None
    target: str | None = None
    units: str | None = None
    targets: Path | None = None
    na: str | None = None
    label: str | None = None
    control: str | None = None
    covariates: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    balance: bool | None = None
    least: int | None = None
    most: int | None = None
    coarse: Path | None = None
    features: str | None = None
    panel: Path | None = None
    augment: int | None = None

    def kind(self, model: str) -> str:
        """What is to be learned: one of KINDS."""
        from scgx.learn.model import kind_of

        return kind_of(registry.load("models", model), labels=self.label is not None)

    def check(self, model: str) -> None:
        """UsageError for a role that the model lacks, and for options of another role."""
        from scgx.learn.model import learns_labels

        kind, module = self.kind(model), registry.load("models", model)
        if kind == "labels" and not learns_labels(module):
            raise UsageError(
                f"model {model!r} learns no labels",
                fix=f"{', '.join(learners())} do; or leave --label out",
            )
        for option, (value, kinds) in self._options().items():
            if value is None or kind in kinds:
                continue
            if kind == "modality" and "labels" in kinds:
                raise UsageError(f"{option} belongs to --label", fix="name it with --label COLUMN")
            who = "with --label" if kind == "labels" else f"to {KINDS[kind]}"
            raise UsageError(f"{option} is of no use {who}", fix=f"leave {option} out")
        if kind == "modality" and not module.TO:
            raise UsageError(f"model {model!r} learns labels", fix="name their column with --label")
        if kind == "generation" and self.label is None:
            raise UsageError(
                f"model {model!r} generates cells of a class", fix="name its column with --label"
            )
        if kind == "embedding" and self.label is None and (self.most is not None or self.balance):
            raise UsageError(
                "balanced by which classes?", fix="name their column with --label COLUMN"
            )
        if kind == "embedding" and self.label is not None and self.balance is False:
            raise UsageError(f"model {model!r} takes --label to balance", fix="leave both out")

    def fit(
        self, model: str, cells: Cells, settings: object, *, seed: int, report: Report
    ) -> Fitted:
        """Fit the model by the engine of its kind."""
        from scgx.h5ad.features import parse_modality, parse_place

        kind, source = self.kind(model), self.source
        modality = parse_modality(source) if source and kind in ("labels", "generation") else None
        if kind == "embedding":
            from scgx.learn import fit_embedding as embedding

            where, at = parse_place(source) if source else (None, None)
            placed = embedding.EmbeddingRoles(where, at, self.label, self.most or embedding.MOST)
            return embedding.fit(model, cells, placed, settings, seed=seed, report=report)
        if kind == "generation":
            from scgx.learn import fit_generator as generator

            drawn = generator.GeneratorRoles(
                label=self.label or "",
                conditions=self.conditions,
                source=modality,
                features=self.features or generator.FEATURES,
                least=self.least or LEAST,
                balance=self.balance is True,
            )
            return generator.fit(model, cells, drawn, settings, seed=seed, report=report)
        if kind == "labels":
            from scgx.learn import fit_labels as labels

            taught = labels.LabelRoles(
                column=self.label or "",
                source=modality,
                balance=self.balance is not False,
                least=self.least or LEAST,
                coarse=self.coarse,
                features=self.features,
                panel=self.panel,
                augment=self.augment or 0,
            )
            return labels.fit(model, cells, taught, settings, seed=seed, report=report)
        if kind == "response":
            from scgx.learn import fit_response as response

            asked = response.ResponseRoles(self.label, self.control, self.covariates)
            return response.fit(model, cells, asked, settings, seed=seed, report=report)
        return self._fit_modality(model, cells, settings, seed=seed, report=report)

    def _fit_modality(
        self, model: str, cells: Cells, settings: object, *, seed: int, report: Report
    ) -> Fitted:
        from scgx.learn import train
        from scgx.learn.convert import check_role
        from scgx.learn.knobs import missing_weight, read_names
        from scgx.learn.model import joins
        from scgx.learn.two_sided import roles_of_two

        source, target = self.source, self.target
        if source is None and target is None and joins(registry.load("models", model)):
            source, target = roles_of_two(cells) or (None, None)
        to, to_at = check_role(cells, target, "--to", (source,) if source else ())
        start, start_at = check_role(cells, source, "--from", (to,))
        weight, names = missing_weight(self.na), read_names(self.targets)
        roles = train.Roles(start, to, self.units, names, weight, start_at, to_at)
        return train.fit(model, cells, roles, settings, seed=seed, report=report)

    def words(self) -> list[str]:
        """The same as words of a command line."""
        found = []
        given = self._options() | {"--covariate": (self.covariates, ())}
        for option in sorted(given, key=("--from", *given).index):
            value = given[option][0]
            if isinstance(value, bool):
                found += [option if value else option.replace("--", "--no-", 1)]
            elif value is not None:
                for one in value if isinstance(value, tuple) else (value,):
                    found += [option, str(one)]
        return found

    def _options(self) -> dict[str, tuple[object, tuple[str, ...]]]:
        """Every option that not all kinds take: what was given, and who takes it."""
        alone = ("modality",)
        return {
            "--to": (self.target, alone),
            "--units": (self.units, alone),
            "--targets": (self.targets, alone),
            "--na": (self.na, alone),
            "--from": (self.source, ("modality", "labels", "generation", "embedding")),
            "--label": (self.label, ("labels", "generation", "embedding", "response")),
            "--control": (self.control, ("response",)),
            "--condition": (self.conditions or None, ("generation",)),
            "--balance": (self.balance, ("labels", "generation", "embedding")),
            "--min-cells-per-class": (self.least, ("labels", "generation")),
            "--max-per-class": (self.most, ("embedding",)),
            "--label-map": (self.coarse, ("labels",)),
            "--features": (self.features, ("labels", "generation")),
            "--panel": (self.panel, ("labels",)),
            "--augment": (self.augment, ("labels",)),
        }


def learners() -> list[str]:
    """Names of the models that learn labels."""
    from scgx.learn.model import learns_labels

    known = registry.names("models")
    return [name for name in known if learns_labels(registry.load("models", name))]
