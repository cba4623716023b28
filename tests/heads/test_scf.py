"""SCF: digits that were computed with 60 of them, and gradients where the original has none."""

import math

import numpy as np
import pytest
import torch

from facezoo.heads.scf import SCF, log_bessel
from facezoo.types import InputError


def slow_log_bessel(order: float, value: float) -> float:
    """The power series, its terms added up from their logarithms."""
    half = math.log(value / 2)
    terms = [(2 * k + order) * half - math.lgamma(k + 1) - math.lgamma(k + order + 1) for k in range(6000)]
    top = max(terms)
    return top + math.log(math.fsum(math.exp(term - top) for term in terms))


@pytest.mark.parametrize("order", [15, 63, 255])
@pytest.mark.parametrize("value", [0.01, 1.0, 40.0, 255.0, 2000.0, 8000.0])
def test_the_expansion_is_the_power_series(order, value):
    got = log_bessel(order, torch.tensor(value, dtype=torch.float64)).item()
    assert got == pytest.approx(slow_log_bessel(order, value), abs=2e-10 if order == 255 else 1e-7)


@pytest.mark.golden
def test_values_and_gradients_are_those_of_sixty_digits(golden, golden_root):
    _, wanted, meta = golden.load("heads/tface__scf_kl.npz")
    hyper = meta["hyper"]
    with np.load(golden_root / "heads" / "inputs.npz", allow_pickle=False) as file:
        mu, centres, kappa = (torch.from_numpy(file[f"scf.{part}"]).double() for part in ("mu", "wc", "kappa"))
    loss = SCF(hyper["z_dim"], hyper["radius"])

    found = loss.divergence(mu, centres, kappa.requires_grad_())
    loss(mu, centres, kappa).backward()

    # The inputs are float32: their lengths are 1 and r to seven digits, ours do not count.
    assert golden.diff(found.detach().numpy(), wanted["exact.loss"])[1] <= 1e-8
    assert golden.diff(kappa.grad.numpy(), wanted["exact.grad_kappa_of_mean"])[1] <= 1e-6


@pytest.mark.parametrize(
    ("kappa", "cosine", "exact"), [(2000, 0.5, 1640.6568), (5000, 0.5, 2916.2812), (8000, 0.6, 3498.6330)]
)
def test_no_underflow_at_small_concentrations(kappa, cosine, exact):
    embedding, centre = torch.zeros(1, 512, dtype=torch.float64), torch.zeros(1, 512, dtype=torch.float64)
    embedding[0, 0], centre[0, 0], centre[0, 1] = 3, cosine, math.sqrt(1 - cosine**2)
    assert SCF()(embedding, centre, torch.tensor([[float(kappa)]])).item() == pytest.approx(exact, abs=1e-4)


def test_gradients_are_those_of_finite_differences():
    torch.manual_seed(0)
    embeddings, centres = (torch.randn(3, 32, dtype=torch.float64, requires_grad=True) for _ in range(2))
    kappa = torch.tensor([[0.5], [30.0], [900.0]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(SCF(32), (embeddings, centres, kappa))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_are_finite_from_no_concentration_to_all(dtype):
    kappa = torch.logspace(-6, 6, 13)[:, None].to(dtype).requires_grad_()
    embeddings = torch.cat([torch.zeros(1, 512), torch.ones(12, 512)]).to(dtype).requires_grad_()
    loss = SCF()(embeddings, torch.ones(13, 512), kappa)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(kappa.grad).all() and torch.isfinite(embeddings.grad).all()


def test_the_best_concentration_of_a_cosine_is_where_the_mean_length_is_the_cosine():
    """The maximum-likelihood condition: I_{D/2}(kappa) / I_{D/2-1}(kappa) = cos."""
    kappa = torch.tensor([[700.0]], dtype=torch.float64)
    ratio = math.exp(slow_log_bessel(256, 700.0) - slow_log_bessel(255, 700.0))
    embedding, centre = torch.zeros(1, 512, dtype=torch.float64), torch.zeros(1, 512, dtype=torch.float64)
    embedding[0, 0], centre[0, 0], centre[0, 1] = 1, ratio, math.sqrt(1 - ratio**2)
    kappa.requires_grad_()
    SCF()(embedding, centre, kappa).backward()
    assert abs(kappa.grad.item()) < 1e-9


def test_few_dimensions_are_refused():
    with pytest.raises(InputError, match="at least 16"):
        SCF(8)
