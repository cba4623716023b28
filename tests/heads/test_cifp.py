"""CIFP: TFace's numbers, a brute-force sort, and what the class centres feel."""

import math

import numpy as np
import pytest
import torch

from facezoo.heads import Classifier, create_head
from facezoo.registry import HEADS, LOSSES
from facezoo.types import InputError


@pytest.mark.golden
@pytest.mark.parametrize("size", ["small", "large"])
def test_logits_loss_and_gradients_are_tfaces(golden, golden_root, size):
    _, wanted, meta = golden.load("heads/tface__localfc_cifp.npz")
    with np.load(golden_root / "heads" / "inputs.npz", allow_pickle=False) as file:
        embeddings, weight, labels = (file[f"{size}.{part}"] for part in ("emb", "weight", "labels"))
        rows = file["large.rows"]
    if size == "small":
        embeddings, labels = embeddings[0], labels[0]
    hyper = meta["hyper"]
    spec = f"cifp:margin={hyper['margin']},scale={hyper['scale']}"
    head = Classifier(weight.shape[1], len(weight), HEADS.create(spec), LOSSES.create("cross_entropy"))

    def run(dtype):
        head.weight = torch.nn.Parameter(torch.from_numpy(weight).to(dtype))
        own = torch.from_numpy(embeddings).to(dtype).requires_grad_()
        loss = head(own, torch.from_numpy(labels))["classification"]
        loss.backward()
        return head.logits(own, torch.from_numpy(labels)).detach(), loss.detach(), own.grad, head.weight.grad

    logits, loss, for_embeddings, for_weight = run(torch.float32)
    assert golden.diff(logits.numpy(), wanted[f"{size}.logits"])[1] <= 1e-5
    assert golden.diff(loss.numpy(), wanted[f"{size}.loss"])[1] <= 1e-5
    assert golden.diff(for_embeddings.numpy(), wanted[f"{size}.grad_emb"])[1] <= 5e-5
    own = for_weight if size == "small" else for_weight[rows]
    assert (
        golden.diff(own.numpy(), wanted["small.grad_weight" if size == "small" else "large.grad_weight_rows"])[1]
        <= 5e-5
    )
    if size == "small":
        logits, loss, for_embeddings, _ = run(torch.float64)
        assert golden.diff(logits.numpy(), wanted["small64.logits"])[1] <= 1e-9
        assert golden.diff(loss.numpy(), wanted["small64.loss"])[1] <= 1e-9
        assert golden.diff(for_embeddings.numpy(), wanted["small64.grad_emb"])[1] <= 1e-9


def slow(cosine, labels, far):
    """Logits by sorting all negatives, row by row."""
    rows, classes = len(cosine), len(cosine[0])
    pairs = [(i, j) for i in range(rows) for j in range(classes) if j != labels[i]]
    eligible = sorted((cosine[i][j] for i, j in pairs if cosine[i][j] <= cosine[i][labels[i]]), reverse=True)
    far = 1 / (classes - 1) if far is None else far
    threshold = eligible[math.ceil(far * len(eligible) - 1e-9) - 1] if eligible else math.inf
    logits = []
    for row, label in zip(cosine, labels, strict=True):
        c = row[label]
        counted = [v for j, v in enumerate(row) if j != label and threshold < v <= c]
        r = sum(v * v for v in counted) / len(counted) if counted else 0
        logits.append([64 * (c - 0.35 - (1 + c) * r if j == label else v) for j, v in enumerate(row)])
    return logits


@pytest.mark.parametrize("far", [None, 0.01, 0.3])
@pytest.mark.parametrize("seed", range(5))
def test_logits_are_a_brute_force_sorts(far, seed):
    torch.manual_seed(seed)
    cosine, labels = torch.rand(12, 9, dtype=torch.float64) * 2 - 1, torch.randint(9, (12,))
    margin = HEADS.create("cifp" if far is None else f"cifp:far={far}")
    got = margin(cosine, labels, cosine[:, :1])
    torch.testing.assert_close(got, torch.tensor(slow(cosine.tolist(), labels.tolist(), far), dtype=torch.float64))


def test_without_a_negative_below_its_true_class_it_is_cosface():
    cosine, labels = torch.tensor([[-0.9, 0.3, 0.5], [0.2, -0.8, 0.6]]), torch.tensor([0, 1])
    got = HEADS.create("cifp")(cosine, labels, torch.ones(2, 1))
    torch.testing.assert_close(got, HEADS.create("cosface")(cosine, labels, torch.ones(2, 1)))


@pytest.mark.parametrize("options", [{}, {"sample_rate": 0.3}, {"sub_centres": 2}], ids=str)
def test_the_embeddings_gradient_is_the_whole_formulas(options):
    """Fixed centres change the centres' gradient only."""
    torch.manual_seed(0)
    head = create_head("cifp:scale=4", 8, 20, **options).double()
    labels = torch.randint(20, (6,))
    embeddings = torch.randn(6, 8, dtype=torch.float64, requires_grad=True)
    if "sample_rate" in options:
        head.weight.grad = None

    def loss(embeddings):
        torch.manual_seed(1)  # of the sampled rows
        return head(embeddings, labels)["classification"]

    assert torch.autograd.gradcheck(loss, embeddings)
    loss(embeddings).backward()
    assert torch.isfinite(head.weight.grad.to_dense()).all() and head.weight.grad.to_dense().abs().sum() > 0


def test_a_false_accept_rate_beyond_one_is_refused():
    with pytest.raises(InputError, match=r"far is 1\.5"):
        HEADS.create("cifp:far=1.5")
