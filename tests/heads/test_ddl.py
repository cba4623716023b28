"""DDL: TFace's numbers with its defect by choice, a slow loop without, edges."""

import math

import numpy as np
import pytest
import torch

from facezoo.heads.ddl import DDL, Branch
from facezoo.types import InputError


@pytest.mark.golden
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_with_the_upper_triangle_it_is_tfaces(golden, golden_root, dtype):
    _, wanted, meta = golden.load("heads/tface__ddl.npz")
    hyper = meta["hyper"]
    with np.load(golden_root / "heads" / "inputs.npz", allow_pickle=False) as file:
        parts = {name[4:]: torch.from_numpy(file[name]).to(dtype) for name in file.files if name.startswith("ddl.")}
    for part in parts.values():
        part.requires_grad_()
    branches = [
        Branch(parts[f"first{i}"], parts[f"second{i}"], parts[f"neg{i}"], torch.arange(len(parts["neg0"])))
        for i in range(2)
    ]
    loss = DDL(
        hyper["pos_kl_weight"],
        hyper["neg_kl_weight"],
        hyper["order_loss_weight"],
        hyper["positive_threshold"],
        upper_triangle=True,
    )

    value = loss(branches)
    value.backward()

    for i, branch in enumerate(branches):
        assert golden.diff(loss.positives(branch).detach().numpy(), wanted[f"pos_distance{i}"])[1] <= 1e-5
        assert golden.diff(loss.negatives(branch).detach().numpy(), wanted[f"neg_distance{i}"])[1] <= 1e-5
    assert golden.diff(value.detach().numpy(), wanted["loss"])[1] <= 1e-5
    if dtype == torch.float64:
        assert golden.diff(value.detach().numpy(), wanted["loss64"])[1] <= 1e-9
    for name, part in parts.items():
        assert golden.diff(part.grad.numpy(), wanted[f"grad_{name}"])[1] <= 5e-5


def branches(kinds: int = 3, rows: int = 6, dim: int = 5, dtype=torch.float64) -> list[Branch]:
    torch.manual_seed(0)
    found = []
    for kind in range(kinds):
        first = torch.randn(rows, dim, dtype=dtype)
        second = first + (0.5 + kind) * torch.randn(rows, dim, dtype=dtype)
        found.append(Branch(first, second, torch.randn(rows, dim, dtype=dtype), torch.tensor([0, 1, 1, 2, 3, 3])))
    return found


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)


def histogram(values):
    heights = [sum(math.exp(-0.5 * ((v - t / 1000) / 0.1) ** 2) for v in values) for t in range(1000)]
    return [height / sum(heights) + 1e-9 for height in heights]


def divergence(easy, hard):
    return sum(p * math.log(p / q) for p, q in zip(histogram(easy), histogram(hard), strict=True))


def test_the_loss_is_a_slow_loops():
    kinds = branches()
    positives, negatives = [], []
    for first, second, singles, identities in (tuple(part.tolist() for part in kind) for kind in kinds):
        same = [cosine(a, b) for a, b in zip(first, second, strict=True)]
        positives.append([value for value in same if value > 0.2])
        pairs = list(zip(singles, identities, strict=True))
        negatives.append([max(cosine(a, b) for b, j in pairs if j != i) for a, i in pairs])
    mean = [[sum(values) / len(values) for values in group] for group in (positives, negatives)]
    wanted = sum(0.1 * divergence(positives[0], other) for other in positives[1:])
    wanted += sum(0.02 * divergence(negatives[0], other) for other in negatives[1:])
    wanted += sum(0.5 * (negative - positive) for negative in mean[1] for positive in mean[0])
    assert any(len(values) < 6 for values in positives)  # the threshold has something to do
    assert DDL(threshold=0.2)(kinds).item() == pytest.approx(wanted)


def test_gradients_are_those_of_finite_differences():
    kinds = branches(kinds=2)
    inputs = [part.requires_grad_() for kind in kinds for part in kind[:3]]

    def value(*parts):
        return DDL()([Branch(*parts[:3], kinds[0].identities), Branch(*parts[3:], kinds[1].identities)])

    assert torch.autograd.gradcheck(value, inputs)


def test_kinds_that_are_alike_leave_the_order_only():
    kind = branches(kinds=1)[0]
    assert DDL(order_weight=0)([kind, kind, kind]).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_are_finite_at_equal_and_at_zero_embeddings_and_without_similarities(dtype):
    kinds = branches(kinds=3, dtype=torch.float32)
    kinds[0] = kinds[0]._replace(second=kinds[0].first)
    kinds[1] = kinds[1]._replace(second=torch.zeros(6, 5), singles=torch.zeros(6, 5))  # no positive is above 0
    kinds[2] = kinds[2]._replace(identities=torch.zeros(6, dtype=torch.int64))  # nobody else
    kinds = [Branch(*(part.to(dtype).requires_grad_() for part in kind[:3]), kind.identities) for kind in kinds]
    loss = DDL()(kinds)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(part.grad).all() for kind in kinds for part in kind[:3] if part.grad is not None)
    assert torch.isfinite(DDL()([kinds[1], kinds[0]]))


def test_one_kind_alone_is_refused():
    with pytest.raises(InputError, match="nothing to be drawn to"):
        DDL()(branches(kinds=1))
    with pytest.raises(InputError, match="threshold is 2"):
        DDL(threshold=2)
    with pytest.raises(InputError, match="order_weight is -1"):
        DDL(order_weight=-1)
    with pytest.raises(InputError, match="all weights are 0"):
        DDL(0, 0, 0)
