"""Every metric says what it is called, what it means, and which way is better."""

import pytest

from scgx import registry

NAMES = registry.names("metrics")


@pytest.mark.parametrize("name", NAMES)
def test_it_defines_itself(name: str) -> None:
    metric = registry.load("metrics", name).Metric
    assert metric.id.replace("_", "-") == name
    assert metric.direction in (-1, 1)
    assert len(metric.definition) > 20
    assert isinstance(metric.gene_sets, bool)
    assert callable(metric.update) and callable(metric.result)


def test_no_two_metrics_share_a_definition() -> None:
    definitions = [registry.load("metrics", name).Metric.definition for name in NAMES]
    assert len(set(definitions)) == len(definitions)
