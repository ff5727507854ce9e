"""The likelihood of cvae: slopes worked out by hand are those of autograd, values those of scipy."""

import numpy as np
import pytest
from scipy import sparse, special, stats

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch


def _case() -> tuple[object, ...]:
    from scgx.models import _cvae_net as net

    rng = np.random.default_rng(0)
    counts = rng.poisson(rng.gamma(0.5, size=(6, 9)) * 2).astype(np.float64)
    x, nonzero = net.to_torch(sparse.csr_array(counts), torch.device("cpu"))
    log_mean = torch.from_numpy(rng.normal(0, 1, (6, 9))).requires_grad_()
    size = torch.from_numpy(rng.gamma(2, size=9) + 0.3).requires_grad_()
    return net, counts, x, nonzero, log_mean, size


def test_slopes_by_hand_are_those_of_autograd() -> None:
    net, _counts, x, nonzero, log_mean, size = _case()

    def plain(log_mean: object, size: object) -> object:
        whole = torch.log(size + log_mean.exp())
        every = x * log_mean - (x + size) * whole + size * size.log()
        return (every + torch.lgamma(x + size) - torch.lgamma(size)).sum(dim=1)

    weight = torch.arange(1.0, 7.0, dtype=torch.float64)
    found = []
    for sums in (plain(log_mean, size), net.NegativeBinomial.apply(log_mean, size, *nonzero)):
        slopes = torch.autograd.grad((sums * weight).sum(), (log_mean, size))
        found.append([sums.detach(), *slopes])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-10)


def test_the_likelihood_is_that_of_a_negative_binomial() -> None:
    net, counts, _x, nonzero, log_mean, size = _case()
    found = net.NegativeBinomial.apply(log_mean, size, *nonzero).detach().numpy()
    r, m = size.detach().numpy(), np.exp(log_mean.detach().numpy())
    exact = stats.nbinom.logpmf(counts, r, r / (r + m)) + special.gammaln(counts + 1)
    np.testing.assert_allclose(found, exact.sum(axis=1))


def test_more_zeros_than_counts_can_explain_are_learned_with_zinb() -> None:
    from scgx.models import _cvae_net as net

    shape = net.Shape(5, (2,), 8, 2)
    made = net.network_of(shape, dropout=0, zero_inflated=True, seed=0, mean=np.ones(5))
    x, nonzero = net.to_torch(sparse.csr_array(np.eye(4, 5, dtype=np.float32)), torch.device("cpu"))
    seen = made(x, torch.zeros((4, 1), dtype=torch.int64))
    plain = net.log_likelihood(x, seen._replace(empty=None), torch.ones(5), nonzero)
    never = torch.full_like(seen.empty, -30.0)
    mixed = net.log_likelihood(x, seen._replace(empty=never), torch.ones(5), nonzero)
    np.testing.assert_allclose(mixed.detach(), plain.detach(), rtol=1e-5)


def test_it_is_judged_with_the_last_weight_whatever_the_epoch() -> None:
    """A loss whose divergence weighs less in the first epochs would choose one of these: S2-M4."""
    from scgx.learn.generative import CountBatch
    from scgx.models import _cvae_net as net

    shape = net.Shape(5, (2,), 8, 2)
    made = net.network_of(shape, dropout=0, zero_inflated=False, seed=0, mean=np.ones(5))
    x = sparse.csr_array(np.random.default_rng(0).poisson(2, (6, 5)).astype(np.float32))
    batch = net.Dense(CountBatch(np.arange(6), x, np.zeros((6, 1), np.int64)))
    objective, device = net.Objective(beta=2.0, climb=100), torch.device("cpu")
    judged = objective(made, batch, device).item()
    made.get_buffer("steps").fill_(99)
    assert objective(made, batch, device).item() == judged

    def taught(step: int) -> float:
        made.train()
        made.get_buffer("steps").fill_(step)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            return objective(made, batch, device).item()

    assert taught(0) < taught(99)
