"""The network of `multivae`: what is not held until slopes flow back changes no number."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import sparse

pytestmark = pytest.mark.torch

RNG = np.random.default_rng(0)


def a_decoder():
    import torch

    from scgx.models._multivae_net import Decoder, Shape

    torch.manual_seed(0)
    shape = Shape((3, 3), (50, 40), (4, 4), (True, True), (True, True), ())
    return Decoder(1, shape, SimpleNamespace(latent=5, hidden=16, dropout=0.0))


@pytest.mark.parametrize("is_weighed", [False, True])
def test_squared_errors_have_the_slopes_that_torch_would_find(is_weighed):
    import torch

    from scgx.models._multivae_net import SquaredError

    components = torch.randn(6, 4, requires_grad=True)
    axes, base, truth = torch.randn(9, 4), torch.randn(9), torch.randn(6, 9)
    weight = torch.rand(6, 9).round() if is_weighed else None
    found = SquaredError.apply(components, axes, base, truth, weight)
    (slope,) = torch.autograd.grad(3 * found, components)
    error = (components @ axes.T + base - truth) ** 2
    expected = (error if weight is None else error * weight).sum()
    (wanted,) = torch.autograd.grad(3 * expected, components)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(slope, wanted)


def test_what_is_missing_adds_nothing_to_squared_errors():
    import torch

    from scgx.models._multivae_net import SquaredError

    components, truth, weight = torch.randn(2, 3), torch.zeros(2, 5), torch.ones(2, 5)
    truth[0, 0], weight[0, 0] = torch.nan, 0
    found = SquaredError.apply(components, torch.randn(5, 3), torch.zeros(5), truth, weight)
    assert torch.isfinite(found)


def test_a_likelihood_that_is_worked_out_anew_is_the_same_to_the_bit(monkeypatch):
    import torch

    from scgx.models import _multivae_net as net

    decoder = a_decoder()
    hidden = torch.randn(8, 16, requires_grad=True)
    counts = sparse.csr_array(RNG.poisson(1, (8, 40)).astype(np.float32))
    found = []
    for held in (net.HELD, 1):
        monkeypatch.setattr(net, "HELD", held)
        total = decoder.likelihood(hidden, counts)
        ends = [hidden, decoder.share.weight, decoder.size]
        found.append([total, *torch.autograd.grad(total.sum(), ends)])
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def test_members_that_learn_values_alone_have_no_shares_of_counts():
    from scgx.models._multivae_net import Shape, build

    shape = Shape((3, 3), (50, 40), (4, 4), (True, True), (True, True), ())
    config = SimpleNamespace(
        latent=5, hidden=16, dropout=0.0, members=1, foreseers=1, encoder="evidence", adversary=0.0
    )
    first, second = build(shape, config, None, start=None, seed=0).members
    assert first.to_seen.share is not None and first.to_seen.size.numel() == 40
    assert second.to_seen.share is None and second.to_look.share is None
