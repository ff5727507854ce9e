"""The full protocol of each printed metric, so that numbers are compared only where they may be."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from scgx.tasks._evaluate import GENE_SET, metric
from scgx.tasks._scores import Protocol


@dataclass(frozen=True)
class Setting:
    """What all metrics of a run share; `variable` marks the variable ones of `features`."""

    task: str
    modality: str
    layer: str
    units: str
    normalisation: str
    not_covered: str
    features: np.ndarray
    variable: np.ndarray
    variable_words: str


def protocols(keys: Iterable[str], setting: Setting) -> dict[str, Protocol]:
    """A protocol for every key: a metric id, with @200 for the variable features."""
    return {key: _protocol(key, setting) for key in keys}


def _protocol(key: str, setting: Setting) -> Protocol:
    name = key.removesuffix(GENE_SET)
    measure = metric(name)
    chosen, words = setting.features, f"all {len(setting.features):,} features of the guesses"
    if key != name:
        chosen, words = setting.features[setting.variable], setting.variable_words
    text = "\n".join(chosen.astype(str)).encode()
    return Protocol(
        id=key,
        definition=measure.definition,
        direction="higher" if measure.direction > 0 else "lower",
        task=setting.task,
        modality=setting.modality,
        layer=setting.layer,
        units=setting.units,
        normalisation=setting.normalisation,
        features=words,
        features_digest=hashlib.sha256(text).hexdigest()[:16],
        not_covered=setting.not_covered,
    )
