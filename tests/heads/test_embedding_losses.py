"""Losses between the embeddings of a batch: the originals' numbers, slow loops, edges, state."""

import itertools
import math

import numpy as np
import pytest
import torch

from facezoo.heads import create_embedding_losses
from facezoo.registry import EMBEDDING_LOSSES
from facezoo.types import InputError

LOSS, GRADIENT, FLOAT64 = 1e-5, 5e-5, 1e-9
SPECS = [
    "triplet",
    "triplet:mining=all",
    "triplet:mining=hardest,margin=1",
    "triplet:mining=random,margin=1",
    "triplet@facexzoo",
    "triplet@tface:margin=1",
    "batch_hard:margin=1",
    "batch_hard:margin=1,distance=squared,unit=false",
    "contrastive",
    "contrastive:mining=hard,margin=1.5",
    "centre",
    "supervised_contrastive",
]


def create(spec: str, classes: int = 6, dim: int = 8):
    (loss,) = create_embedding_losses([spec], classes, dim).values()
    return loss


def batch(rows: int = 12, classes: int = 4, dim: int = 8):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(rows) % classes
    return torch.randn(rows, dim, generator=generator, dtype=torch.float64), labels


def test_the_specs_above_name_every_embedding_loss():
    named = {spec.partition(":")[0].partition("@")[0] for spec in SPECS}
    assert named == set(EMBEDDING_LOSSES.names())


# The originals.


@pytest.fixture
def pairs(golden_root):
    with np.load(golden_root / "heads" / "inputs.npz", allow_pickle=False) as file:
        return torch.from_numpy(file["pair.emb"]), torch.from_numpy(file["pair.labels"])


def check_parity(golden, spec, pairs, wanted, prefix=""):
    embeddings, labels = pairs
    embeddings = embeddings.clone().requires_grad_()
    loss = create(spec)(embeddings, labels)
    loss.backward()
    assert golden.diff(loss.detach().numpy(), wanted[f"{prefix}loss"])[1] <= LOSS
    assert golden.diff(embeddings.grad.numpy(), wanted[f"{prefix}grad_emb"])[1] <= GRADIENT
    exact = create(spec).double()(pairs[0].double(), labels)
    assert golden.diff(exact.numpy(), wanted[f"{prefix}loss64"])[1] <= FLOAT64


@pytest.mark.golden
@pytest.mark.parametrize("mining", ["all", "hardest"])
def test_triplets_are_facexzoos(golden, pairs, mining):
    _, wanted, _ = golden.load(f"heads/facexzoo__triplet_{mining}.npz")
    spec = f"triplet:margin={float(wanted['margin']):.6f},mining={mining},both_anchors=false"
    embeddings, labels = pairs
    loss = create(spec)
    measured = loss.measured(embeddings)
    found = set(zip(*(part.tolist() for part in loss.triplets(measured, labels)), strict=True))
    assert found == {tuple(row) for row in wanted["triplets"].tolist()}
    check_parity(golden, spec, pairs, wanted)


@pytest.mark.golden
@pytest.mark.parametrize("mining", ["random", "semihard"])
def test_the_triplets_facexzoo_drew_are_among_those_we_draw_from(golden, pairs, mining, monkeypatch):
    _, wanted, _ = golden.load(f"heads/facexzoo__triplet_{mining}.npz")
    chosen = {(a, p): n for a, p, n in wanted["triplets"].tolist()}
    embeddings, labels = pairs
    loss = create(f"triplet:margin={float(wanted['margin']):.6f},mining={mining},both_anchors=false")
    same = labels[:, None] == labels
    anchors, positives = same.triu(1).nonzero(as_tuple=True)

    def drawn(losses):
        """Instead of random numbers: the original's choice is the largest."""
        order = torch.zeros_like(losses)
        for row, pair in enumerate(zip(anchors.tolist(), positives.tolist(), strict=True)):
            if pair in chosen:
                order[row, chosen[pair]] = 1
        return order

    monkeypatch.setattr(torch, "rand_like", drawn)
    found = set(zip(*(part.tolist() for part in loss.triplets(loss.measured(embeddings), labels)), strict=True))
    assert found == {tuple(row) for row in wanted["triplets"].tolist()}
    spec = f"triplet:margin={float(wanted['margin']):.6f},mining={mining},both_anchors=false"
    check_parity(golden, spec, pairs, wanted)


@pytest.mark.golden
@pytest.mark.parametrize("distance", ["euclidean", "squared"])
def test_batch_all_and_batch_hard_are_tfaces(golden, pairs, distance):
    prefix = {"euclidean": "euclid.", "squared": "squared."}[distance]
    for name, preset in {"batch_all": "triplet@tface", "batch_hard": "batch_hard@tface"}.items():
        _, wanted, meta = golden.load(f"heads/tface__triplet_{name}.npz")
        margin = meta["hyper"][f"margin_{prefix.rstrip('.')}"]
        check_parity(golden, f"{preset}:margin={margin},distance={distance}", pairs, wanted, prefix)


@pytest.mark.golden
@pytest.mark.parametrize("mining", ["all", "hard"])
def test_contrastive_is_facexzoos(golden, pairs, mining):
    _, wanted, _ = golden.load(f"heads/facexzoo__contrastive_{mining}.npz")
    check_parity(golden, f"contrastive:margin={float(wanted['margin']):.6f},mining={mining}", pairs, wanted)


# Slow loops.


def unit(embeddings):
    return [[value / math.hypot(*row) for value in row] for row in embeddings.tolist()]


def slow_triplets(rows, labels, both):
    for a, p, n in itertools.product(range(len(rows)), repeat=3):
        if a != p and labels[a] == labels[p] != labels[n] and (both or a < p):
            yield math.dist(rows[a], rows[p]), math.dist(rows[a], rows[n])


def test_all_triplets_are_a_slow_loops():
    embeddings, labels = batch()
    values = [max(ap**2 - an**2 + 0.2, 0) for ap, an in slow_triplets(unit(embeddings), labels.tolist(), True)]
    assert create("triplet:mining=all")(embeddings, labels).item() == pytest.approx(sum(values) / len(values))


def test_violating_triplets_are_a_slow_loops():
    embeddings, labels = batch()
    values = [max(ap - an + 1, 0) for ap, an in slow_triplets(embeddings.tolist(), labels.tolist(), True)]
    wanted = sum(values) / sum(value > 0 for value in values)
    assert create("triplet@tface:margin=1")(embeddings, labels).item() == pytest.approx(wanted)


def test_a_semihard_negative_is_farther_than_the_positive_and_within_the_margin():
    embeddings, labels = batch(rows=40, classes=5, dim=3)
    loss = create("triplet:margin=0.5")
    measured = loss.measured(embeddings)
    anchor, positive, negative = loss.triplets(measured, labels)
    gap = measured[anchor, negative] - measured[anchor, positive]
    assert len(anchor) and ((gap > 0) & (gap < 0.5)).all()
    assert (labels[anchor] == labels[positive]).all() and (labels[anchor] != labels[negative]).all()


def test_supervised_contrastive_is_a_slow_loops():
    embeddings, labels = batch(rows=9)
    labels[0] = 5  # without a positive
    rows = torch.tensor(unit(embeddings), dtype=torch.float64)
    terms = []
    for i in range(9):
        others = [j for j in range(9) if j != i]
        positives = [j for j in others if labels[j] == labels[i]]
        below = sum(math.exp(float(rows[i] @ rows[j]) / 0.1) for j in others)
        if positives:
            terms.append(
                sum(-math.log(math.exp(float(rows[i] @ rows[j]) / 0.1) / below) for j in positives) / len(positives)
            )
    wanted = sum(terms) / len(terms)
    assert create("supervised_contrastive")(embeddings, labels).item() == pytest.approx(wanted)


def test_the_centre_loss_and_its_centres_are_a_slow_loops():
    loss = create("centre:alpha=0.4,weight=2").double()
    centres = [[0.0] * 8 for _ in range(6)]
    for step in range(3):
        torch.manual_seed(step)
        embeddings, labels = torch.randn(7, 8, dtype=torch.float64), torch.randint(6, (7,))
        pairs = list(zip(embeddings.tolist(), labels.tolist(), strict=True))
        wanted = 2 * sum(math.dist(row, centres[label]) ** 2 / 2 for row, label in pairs) / 7

        assert loss(embeddings, labels).item() == pytest.approx(wanted)

        moved = []
        for label, centre in enumerate(centres):
            own = [row for row, other in pairs if other == label]
            moved.append([z - 0.4 * sum(z - row[d] for row in own) / (1 + len(own)) for d, z in enumerate(centre)])
        centres = moved
        torch.testing.assert_close(loss.centres, torch.tensor(centres, dtype=torch.float64))


# Behaviour at the edges.


@pytest.mark.parametrize("spec", SPECS)
def test_gradients_are_those_of_finite_differences(spec):
    embeddings, labels = batch()
    loss = create(spec).double().eval()

    def value(embeddings):
        torch.manual_seed(0)  # of the drawn negatives
        return loss(embeddings, labels)

    assert torch.autograd.gradcheck(value, embeddings.requires_grad_())


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_gradients_are_finite_at_equal_and_at_zero_embeddings(spec, dtype):
    one = torch.randn(1, 8)
    embeddings = torch.cat([one, one, -one, one, torch.zeros(3, 8), 1e-6 * one]).to(dtype).requires_grad_()
    value = create(spec)(embeddings, torch.tensor([0, 0, 0, 1, 1, 1, 2, 2]))
    value.backward()
    assert torch.isfinite(value) and torch.isfinite(embeddings.grad).all()


@pytest.mark.parametrize(
    "labels", [[0, 0, 0, 0], [0, 1, 2, 3], [0]], ids=["one identity", "all different", "one image"]
)
@pytest.mark.parametrize("spec", SPECS)
def test_a_batch_without_pairs_gives_a_finite_loss(spec, labels):
    embeddings = torch.randn(len(labels), 8, requires_grad=True)
    value = create(spec)(embeddings, torch.tensor(labels))
    value.backward()
    assert torch.isfinite(value) and torch.isfinite(embeddings.grad).all()


@pytest.mark.parametrize("spec", SPECS)
def test_the_weight_is_a_factor(spec):
    embeddings, labels = batch()
    values = []
    for weight in (1, 3):
        torch.manual_seed(0)
        separator = "," if ":" in spec else ":"
        values.append(create(f"{spec}{separator}weight={weight}")(embeddings, labels).item())
    assert values[1] == pytest.approx(3 * values[0])


def test_centres_rest_in_evaluation_and_continue_from_what_was_saved():
    embeddings, labels = batch(classes=6)
    straight = create("centre").double()
    straight(embeddings, labels)
    resumed = create("centre").double()
    resumed.load_state_dict(straight.state_dict())
    straight(embeddings, labels)
    resumed(embeddings, labels)
    assert torch.equal(resumed.centres, straight.centres)

    kept = resumed.centres.clone()
    resumed.eval()(embeddings, labels)
    assert torch.equal(resumed.centres, kept)


@pytest.mark.parametrize(
    ("specs", "says"),
    [
        (["triplet", "triplet:mining=all"], "triplet is given twice"),
        (["triplet:mining=hardest,mean=violating"], "leave mean=violating out"),
        (["triplet:margin=-1"], "margin is -1"),
        (["contrastive:margin=0"], "margin is 0"),
        (["centre:alpha=0"], "alpha is 0"),
        (["supervised_contrastive:temperature=0"], "temperature is 0"),
        (["triplet:weight=0"], "weight is 0"),
        (["triplets"], "unknown embedding loss"),
    ],
)
def test_a_wrong_option_is_one_sentence(specs, says):
    with pytest.raises(InputError, match=says):
        create_embedding_losses(specs, 6, 8)
