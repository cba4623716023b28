"""Every margin against its paper's formula, written again as a slow loop, and its behaviour at the edges."""

import math

import pytest
import torch

from facezoo.heads import Classifier, create_head
from facezoo.heads.margin import add_angle, inside, put_target, take_target
from facezoo.registry import HEADS, LOSSES
from facezoo.types import InputError

SPECS = [
    "softmax",
    "normface",
    "cosface",
    "amsoftmax",
    "arcface",
    "arcface:fallback=cosine",
    "arcface:fallback=none",
    "arcface:easy_margin=true",
    "mvsoftmax",
    "mvsoftmax:kind=arc",
    "mvsoftmax:easy_margin=true",
    "mvsoftmax:kind=arc,easy_margin=true",
    "combined",
    "combined:m1=1.2,m2=0.2,m3=0.1",
    "combined:m1=1.5,filter=0.4",
]


def test_the_specs_above_name_every_margin():
    assert {spec.partition(":")[0] for spec in SPECS} == set(HEADS.names())


def cosines(rows: int = 64, classes: int = 9) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    labels = torch.randint(classes, (rows,))
    cosine = torch.rand(rows, classes, dtype=torch.float64) * 1.8 - 0.9
    # Easy, hard, beyond every fallback.
    cosine.scatter_(1, labels[:, None], torch.linspace(-0.999, 0.999, rows, dtype=torch.float64)[:, None])
    return cosine, labels


def arc(c: float, m: float = 0.5, fallback: str = "linear", easy: bool = False) -> float:
    angle = math.acos(c)
    if easy:
        return math.cos(angle + m) if c > 0 else c
    if angle + m > math.pi and fallback != "none":
        return c - m * math.sin(m) if fallback == "linear" else c
    return math.cos(angle + m)


def mv(c: float, others: list[float], kind: str, easy: bool, m: float = 0.35, t: float = 1.12):
    moved = c - m if kind == "am" else math.cos(math.acos(c) + m)
    negatives = [t * o + t - 1 if o > moved else o for o in others]
    return (c if easy and c <= (m if kind == "am" else 0) else moved), negatives


def combined(c: float, m1: float, m2: float, m3: float) -> float:
    return math.cos(m1 * math.acos(c) + m2) - m3


FORMULAS = {
    "normface": (64, lambda c, o: (c, o)),
    "cosface": (64, lambda c, o: (c - 0.35, o)),
    "amsoftmax": (30, lambda c, o: (c - 0.35, o)),
    "arcface": (64, lambda c, o: (arc(c), o)),
    "arcface:fallback=cosine": (64, lambda c, o: (arc(c, fallback="cosine"), o)),
    "arcface:fallback=none": (64, lambda c, o: (arc(c, fallback="none"), o)),
    "arcface:easy_margin=true": (64, lambda c, o: (arc(c, easy=True), o)),
    "mvsoftmax": (32, lambda c, o: mv(c, o, "am", False)),
    "mvsoftmax:kind=arc": (32, lambda c, o: mv(c, o, "arc", False)),
    "mvsoftmax:easy_margin=true": (32, lambda c, o: mv(c, o, "am", True)),
    "mvsoftmax:kind=arc,easy_margin=true": (32, lambda c, o: mv(c, o, "arc", True)),
    "combined": (64, lambda c, o: (combined(c, 1, 0.3, 0.2), o)),
    "combined:m1=1.2,m2=0.2,m3=0.1": (64, lambda c, o: (combined(c, 1.2, 0.2, 0.1), o)),
    "combined:m1=1.5,filter=0.4": (64, lambda c, o: (combined(c, 1.5, 0.3, 0.2), [0.0 if v > 0.4 else v for v in o])),
}


@pytest.mark.parametrize("spec", FORMULAS)
def test_logits_are_the_papers_formula(spec):
    cosine, labels = cosines()
    scale, formula = FORMULAS[spec]

    logits = HEADS.create(spec)(cosine, labels, torch.ones(len(labels), 1))

    for row, label, got in zip(cosine.tolist(), labels.tolist(), logits.tolist(), strict=True):
        target, negatives = formula(row[label], row[:label] + row[label + 1 :])
        wanted = [scale * v for v in [*negatives[:label], target, *negatives[label:]]]
        assert got == pytest.approx(wanted, abs=1e-9)


def test_plain_softmax_is_the_inner_product():
    torch.manual_seed(0)
    head = create_head("softmax", embedding_dim=8, num_classes=5)
    embeddings = torch.randn(16, 8)
    torch.testing.assert_close(head.logits(embeddings, torch.zeros(16, dtype=torch.int64)), embeddings @ head.weight.T)


@pytest.mark.parametrize(
    "spec",
    ["arcface:margin=0", "cosface:margin=0", "mvsoftmax:margin=0,weight=1,scale=64", "combined:m1=1,m2=0,m3=0"],
)
def test_a_margin_of_zero_is_normface(spec):
    cosine, labels = cosines()
    norms = torch.ones(len(labels), 1)
    torch.testing.assert_close(HEADS.create(spec)(cosine, labels, norms), 64 * cosine, atol=1e-9, rtol=0)


@pytest.mark.parametrize("spec", ["arcface", "cosface", "mvsoftmax", "combined"])
def test_a_margin_makes_the_true_class_harder(spec):
    cosine, labels = cosines()
    margin = HEADS.create(spec)
    logits = margin(cosine, labels, torch.ones(len(labels), 1))
    assert (take_target(logits, labels) < margin.scale * take_target(cosine, labels)).all()


def test_the_linear_fallback_keeps_arcfaces_logit_falling_with_the_angle():
    angle = torch.linspace(0, math.pi, 2000, dtype=torch.float64)
    labels = torch.zeros(2000, dtype=torch.int64)
    logit = HEADS.create("arcface")(angle.cos()[:, None], labels, torch.ones(2000, 1))[:, 0]
    assert (logit.diff() < 0).all()


# MV-Softmax measures its negatives by the true class, see below.
@pytest.mark.parametrize("spec", [spec for spec in SPECS if "mvsoftmax" not in spec])
def test_a_row_without_its_true_class_gets_no_margin(spec):
    cosine, labels = cosines()
    margin, norms = HEADS.create(spec), torch.ones(len(labels), 1)
    here = margin(cosine, labels, norms)
    absent = margin(cosine, torch.full_like(labels, -1), norms)
    others = torch.ones_like(cosine, dtype=torch.bool).scatter(1, labels[:, None], False)
    torch.testing.assert_close(absent[others], here[others])


def head_of(spec: str, **given) -> Classifier:
    torch.manual_seed(0)
    return create_head(spec, embedding_dim=16, num_classes=7, **given)


@pytest.mark.parametrize("loss", ["cross_entropy", "focal", "focal:gamma=0.5", "label_smoothing"])
@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_gradients_are_finite_at_collinear_and_at_zero_embeddings(spec, loss, dtype):
    head = head_of(spec, loss=loss)
    labels = torch.arange(7)
    centres = head.weight.detach()
    embeddings = torch.cat([centres, -centres, 1e3 * centres, torch.zeros(7, 16), 1e-6 * centres]).to(dtype)
    embeddings.requires_grad_()

    total = sum(head(embeddings, labels.repeat(5)).values())
    total.backward()

    assert torch.isfinite(total)
    assert torch.isfinite(embeddings.grad).all() and torch.isfinite(head.weight.grad).all()


# Softmax's logits are linear in the embedding, also at zero.
@pytest.mark.parametrize("spec", [spec for spec in SPECS if spec != "softmax"])
def test_the_gradient_of_a_zero_embedding_is_zero(spec):
    head = head_of(spec)
    embeddings = torch.zeros(3, 16, requires_grad=True)
    sum(head(embeddings, torch.arange(3)).values()).backward()
    assert (embeddings.grad == 0).all()


@pytest.mark.parametrize("spec", SPECS)
def test_gradients_are_those_of_finite_differences(spec):
    head = head_of(spec).double()
    torch.manual_seed(2)
    embeddings = torch.randn(5, 16, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 3, 3, 6, 1])

    def loss(embeddings, weight):
        with torch.no_grad():
            head.weight.copy_(weight)
        return torch.func.functional_call(head, {"weight": weight}, (embeddings, labels))["classification"]

    assert torch.autograd.gradcheck(loss, (embeddings, head.weight.detach().clone().requires_grad_()))


@pytest.mark.parametrize("theta", [0.0, 1e-4, 1e-3, math.pi - 1e-3, math.pi])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_added_angle_is_right_near_the_poles(theta, dtype):
    cosine = torch.tensor([math.cos(theta)], dtype=dtype, requires_grad=True)
    moved = add_angle(cosine, 0.5)
    moved.backward()
    assert moved.item() == pytest.approx(math.cos(theta + 0.5), abs=1e-3)
    assert torch.isfinite(cosine.grad)


@pytest.mark.parametrize("theta", [1e-4, 1e-3, math.pi - 1e-3])
def test_the_embeddings_gradient_is_right_near_the_poles(theta):
    """In float64; float32 cosines cannot tell 1e-4 from 0. Its size is sin(theta + m), per unit of length."""
    embedding = torch.tensor([[math.cos(theta), math.sin(theta)]], dtype=torch.float64, requires_grad=True)
    cosine = embedding[:, :1] / embedding.norm(dim=1, keepdim=True)
    add_angle(cosine, 0.5).sum().backward()
    assert embedding.grad.norm().item() == pytest.approx(abs(math.sin(theta + 0.5)), rel=1e-3)


def test_cosines_are_kept_inside_by_one_rounding_step():
    kept = inside(torch.tensor([-2.0, -1.0, 0.3, 1.0, 1.5]))
    assert (kept.abs() < 1).all() and kept[2] == torch.tensor(0.3)


def test_put_target_changes_the_true_classes_column_only():
    cosine, labels = torch.zeros(3, 4), torch.tensor([2, -1, 0])
    changed = put_target(cosine, labels, torch.ones(3, 1))
    assert changed.tolist() == [[0, 0, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0]]


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("arcface:margin=2", "margin is 2.0"),
        ("arcface:easy_margin=true,fallback=none", "leave fallback=none out"),
        ("arcface:fallback=square", "'linear', 'cosine' or 'none'"),
        ("combined:m1=0.5", "m1 is 0.5"),
        ("combined:filter=1.5", "filter is 1.5"),
        ("arcfase", "unknown head 'arcfase'; known: amsoftmax, arcface"),
    ],
)
def test_a_wrong_option_is_one_sentence(spec, says):
    with pytest.raises(InputError, match=says):
        HEADS.create(spec)


@pytest.mark.parametrize("spec", ["focal:gamma=-1", "cross_entropy:smoothing=1", "label_smoothing:smoothing=-0.1"])
def test_a_wrong_option_of_a_loss_is_refused(spec):
    with pytest.raises(InputError):
        LOSSES.create(spec)
