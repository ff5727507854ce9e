"""The perceptron that names classes: layers of their own, and something that bends between them."""

from dataclasses import dataclass

import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch


@dataclass(frozen=True)
class Body:
    depth: int
    hidden: int = 8
    dropout: float = 0.0
    hide: float = 0.0


def test_every_hidden_layer_has_weights_of_its_own_and_learns() -> None:
    from scgx.models._classifier_net import perceptron

    sizes = []
    for depth in (1, 2, 3):
        network = perceptron((20, 4), Body(depth), seed=0)
        weights = list(network.parameters())
        sizes.append(sum(weight.numel() for weight in weights))
        x = torch.randn(16, 20, generator=torch.Generator().manual_seed(0))
        torch.nn.functional.cross_entropy(network(x), torch.arange(16) % 4).backward()
        assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in weights)
    assert sizes == [20 * 8 + 8 + 36, 20 * 8 + 8 + 72 + 36, 20 * 8 + 8 + 144 + 36]


def test_no_layer_is_only_a_product() -> None:
    from scgx.models._classifier_net import perceptron

    network = perceptron((20, 4), Body(3), seed=0)
    x = 10 * torch.randn(2, 20, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        middle = network(x.mean(dim=0, keepdim=True))
        assert (network(x).mean(dim=0) - middle).abs().max() > 0.01
