"""Products with class centres against the plain formula, their gradients, and which centres a step samples."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from facezoo.heads import centres
from facezoo.heads.centres import products, sample_rows, split

SHAPES = {"centres": (11, 5), "sub-centres": (11, 3, 5)}
ROWS = {"all": None, "some": torch.tensor([0, 3, 4, 9])}


def case(shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Unit embeddings (7, 5) and centres of lengths from 0.1 to 3."""
    torch.manual_seed(0)
    directions = F.normalize(torch.randn(7, 5, dtype=torch.float64))
    weight = F.normalize(torch.randn(shape, dtype=torch.float64), dim=-1) * torch.linspace(0.1, 3, shape[0]).view(
        -1, *[1] * (len(shape) - 1)
    )
    return directions.requires_grad_(), weight.to(dtype).requires_grad_()


def plain(directions: Tensor, weight: Tensor, rows: Tensor | None, unit: bool) -> Tensor:
    chosen = weight if rows is None else weight[rows]
    return torch.einsum("bd,...d->b...", directions, F.normalize(chosen, dim=-1) if unit else chosen)


@pytest.fixture(params=[1 << 23, 4 * 5 * 3 * 4], ids=["one block", "several blocks"])
def block(request, monkeypatch):
    monkeypatch.setitem(centres.BLOCK_BYTES, "cpu", request.param)


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("unit", [True, False], ids=["unit", "as they are"])
@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_products_and_gradients_are_those_of_the_plain_formula(shape, rows, unit):
    directions, weight = case(shape)
    found, wanted = products(directions, weight, rows, unit), plain(directions, weight, rows, unit)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-14)

    pull = torch.randn(found.shape, dtype=torch.float64)
    for_directions, for_weight = torch.autograd.grad(found, (directions, weight), pull)
    wanted_directions, wanted_weight = torch.autograd.grad(wanted, (directions, weight), pull)
    assert for_weight.is_sparse == (rows is not None)
    torch.testing.assert_close(for_directions, wanted_directions, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(for_weight.to_dense(), wanted_weight, rtol=1e-12, atol=1e-13)


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("unit", [True, False], ids=["unit", "as they are"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_gradients_pass_gradcheck(shape, unit):
    assert torch.autograd.gradcheck(lambda d, w: products(d, w, None, unit), case(shape))


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_sampled_gradient_is_that_of_its_rows_and_of_no_other(shape):
    directions, weight = case(shape)
    rows = ROWS["some"]
    pull = torch.randn(7, *shape[:-1], dtype=torch.float64)
    (whole,) = torch.autograd.grad(products(directions, weight), weight, pull)
    (part,) = torch.autograd.grad(products(directions, weight, rows), weight, pull[:, rows])

    assert part.coalesce().indices().tolist() == [rows.tolist()]
    torch.testing.assert_close(part.coalesce().values(), whole[rows], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("rows", [None, torch.tensor([1, 2, 5])], ids=["all", "some"])
def test_a_centre_without_length_has_cosine_and_gradient_zero(rows):
    directions, weight = case((11, 5))
    with torch.no_grad():
        weight[2] = 0
    found = products(directions, weight, rows)
    column = 2 if rows is None else 1
    for_directions, for_weight = torch.autograd.grad(found.sum(), (directions, weight))

    assert (found[:, column] == 0).all()
    assert (for_weight.to_dense()[2] == 0).all()
    assert for_directions.isfinite().all() and for_weight.to_dense().isfinite().all()


def test_an_embedding_without_length_has_direction_and_gradient_zero():
    vectors = torch.tensor([[3.0, 4.0], [0.0, 0.0]], requires_grad=True)
    directions, norms = split(vectors)
    directions.sum().backward()

    assert directions.tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0.0, 0.0]]
    assert norms.tolist() == [[5.0], [0.0]]
    assert (vectors.grad[1] == 0).all() and vectors.grad.isfinite().all()


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_bfloat16_centres_are_read_as_float32(rows):
    directions, weight = case((11, 5), torch.bfloat16)
    directions = directions.detach().float().requires_grad_()
    wide = weight.detach().float().requires_grad_()
    found, wanted = products(directions, weight, rows), products(directions, wide, rows)
    assert torch.equal(found, wanted)

    (low,) = torch.autograd.grad(found.square().sum(), weight)
    (full,) = torch.autograd.grad(wanted.square().sum(), wide)
    assert low.dtype == torch.bfloat16
    assert torch.equal(low.to_dense(), full.to_dense().bfloat16())


def test_centres_that_are_fixed_get_no_gradient():
    directions, weight = case((11, 5))
    (found,) = torch.autograd.grad(products(directions, weight.detach()).sum(), directions)
    (wanted,) = torch.autograd.grad(plain(directions, weight.detach(), None, True).sum(), directions)
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize(("count", "wanted"), [(1000, 20), (1000, 400), (1000, 600), (1000, 999), (7, 1), (50, 50)])
def test_a_sample_holds_the_positives_and_random_others(count, wanted):
    torch.manual_seed(0)
    positives = torch.tensor([1, 4, 6])
    rows = sample_rows(count, wanted, positives)

    assert len(rows) == max(wanted, 3)
    assert (rows[1:] > rows[:-1]).all() and rows[0] >= 0 and rows[-1] < count
    assert torch.isin(positives, rows).all()


def test_every_class_is_sampled_alike():
    torch.manual_seed(0)
    for wanted in (10, 40):  # a few of many, and more than half
        counts = torch.zeros(60)
        for _ in range(3000):
            counts[sample_rows(60, wanted, torch.tensor([7]))] += 1
        others = torch.cat([counts[:7], counts[8:]]) / 3000
        share = (wanted - 1) / 59
        assert counts[7] == 3000
        assert (others - share).abs().max() < 4 * (share * (1 - share) / 3000) ** 0.5
