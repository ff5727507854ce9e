"""The role of labels in `train`: which options belong to it, and what is wrong without it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scgx import registry
from scgx.errors import UsageError

if TYPE_CHECKING:
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

    def check(
        self,
        model: str,
        target: str | None,
        units: str | None,
        targets: Path | None,
        na: str | None,
    ) -> None:
        """UsageError for a role that the model lacks, and for options of the other role."""
        from scgx.learn.model import learns_labels

        module = registry.load("models", model)
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
