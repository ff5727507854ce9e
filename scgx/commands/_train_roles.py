"""The role of labels in `train`: which options belong to it, and what is wrong without it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scgx import registry
from scgx.errors import UsageError

if TYPE_CHECKING:
    from scgx.learn.fit_embedding import EmbeddingRoles
    from scgx.learn.fit_generator import GeneratorRoles
    from scgx.learn.fit_labels import LabelRoles

LEAST = 10


@dataclass(frozen=True)
class LabelOptions:
    """What the command line says about labels; None where it says nothing."""

    column: str | None
    balance: bool | None
    least: int | None
    coarse: Path | None
    features: str | None
    panel: Path | None
    augment: int | None
    conditions: tuple[str, ...] = ()
    most: int | None = None

    def classifies(self, model: str) -> bool:
        """Is it a classifier that --label asks for? Generators and embeddings take labels too."""
        from scgx.learn.model import embeds, generates

        module = registry.load("models", model)
        return self.column is not None and not (generates(module) or embeds(module))

    def embeds(self, model: str) -> bool:
        """Is it an embedding, which has no target?"""
        from scgx.learn.model import embeds

        return embeds(registry.load("models", model))

    def check(
        self,
        model: str,
        target: str | None,
        units: str | None,
        targets: Path | None,
        na: str | None,
    ) -> None:
        """UsageError for a role that the model lacks, and for options of the other role."""
        from scgx.learn.model import embeds, generates, learns_labels

        module = registry.load("models", model)
        if embeds(module):
            self._check_embedding(model, target, units, targets, na)
            return
        if self.most is not None:
            raise UsageError(
                f"model {model!r} is no embedding, so it takes no --max-per-class",
                fix="leave --max-per-class out",
            )
        if generates(module):
            self._check_generator(model, target, units, targets, na)
            return
        if self.conditions:
            raise UsageError(
                f"model {model!r} generates no cells, so it takes no --condition",
                fix=f"{', '.join(generators())} do",
            )
        if self.column is None:
            given = {
                "--balance": self.balance,
                "--min-cells-per-class": self.least,
                "--label-map": self.coarse,
                "--features": self.features,
                "--panel": self.panel,
                "--augment": self.augment,
            }
            for option, value in given.items():
                if value is not None:
                    raise UsageError(
                        f"{option} belongs to --label", fix="name it with --label COLUMN"
                    )
            if not module.TO:
                raise UsageError(
                    f"model {model!r} learns labels", fix="name their column with --label"
                )
            return
        if not learns_labels(module):
            raise UsageError(
                f"model {model!r} learns no labels",
                fix=f"{', '.join(learners())} do; or leave --label out",
            )
        others = {"--to": target, "--units": units, "--targets": targets, "--na": na}
        for option, value in others.items():
            if value is not None:
                raise UsageError(f"{option} is of no use with --label", fix=f"leave {option} out")

    def _check_generator(
        self,
        model: str,
        target: str | None,
        units: str | None,
        targets: Path | None,
        na: str | None,
    ) -> None:
        if self.column is None:
            raise UsageError(
                f"model {model!r} generates cells of a class", fix="name its column with --label"
            )
        others = {
            "--to": target, "--units": units, "--targets": targets, "--na": na, "--panel": self.panel,
            "--label-map": self.coarse, "--augment": self.augment,
        }  # fmt: skip
        for option, value in others.items():
            if value is not None:
                raise UsageError(f"{option} is of no use to a generator", fix=f"leave {option} out")

    def _check_embedding(
        self,
        model: str,
        target: str | None,
        units: str | None,
        targets: Path | None,
        na: str | None,
    ) -> None:
        others = {
            "--to": target, "--units": units, "--targets": targets, "--na": na, "--panel": self.panel,
            "--label-map": self.coarse, "--augment": self.augment, "--features": self.features,
            "--min-cells-per-class": self.least, "--condition": self.conditions or None,
        }  # fmt: skip
        for option, value in others.items():
            if value is not None:
                fix = "--set features=N" if option == "--features" else f"leave {option} out"
                raise UsageError(f"{option} is of no use to an embedding", fix=fix)
        if self.column is None and (self.most is not None or self.balance):
            raise UsageError(
                "balanced by which classes?", fix="name their column with --label COLUMN"
            )
        if self.column is not None and self.balance is False:
            raise UsageError(f"model {model!r} takes --label to balance", fix="leave both out")

    def embedding(self, source: str | None) -> EmbeddingRoles:
        """The same for the engine of embeddings."""
        from scgx.h5ad.features import parse_place
        from scgx.learn.fit_embedding import MOST, EmbeddingRoles

        modality, at = parse_place(source) if source else (None, None)
        return EmbeddingRoles(modality, at, self.column, self.most or MOST)

    def generator(self, source: str | None) -> GeneratorRoles:
        """The same for the engine of generators."""
        from scgx.h5ad.features import parse_modality
        from scgx.learn.fit_generator import FEATURES, GeneratorRoles

        return GeneratorRoles(
            label=self.column or "",
            conditions=self.conditions,
            source=parse_modality(source) if source else None,
            features=self.features or FEATURES,
            least=self.least or LEAST,
            balance=self.balance is True,
        )

    def roles(self, source: str | None) -> LabelRoles:
        """The same for the engine; `source` is the modality of --from."""
        from scgx.h5ad.features import parse_modality
        from scgx.learn.fit_labels import LabelRoles

        return LabelRoles(
            column=self.column or "",
            source=parse_modality(source) if source else None,
            balance=self.balance is not False,
            least=self.least or LEAST,
            coarse=self.coarse,
            features=self.features,
            panel=self.panel,
            augment=self.augment or 0,
        )


def learners() -> list[str]:
    """Names of the models that learn labels."""
    from scgx.learn.model import learns_labels

    known = registry.names("models")
    return [name for name in known if learns_labels(registry.load("models", name))]


def generators() -> list[str]:
    """Names of the models that generate cells."""
    from scgx.learn.model import generates

    known = registry.names("models")
    return [name for name in known if generates(registry.load("models", name))]
