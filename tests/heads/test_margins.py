"""What every margin does: finite gradients, right gradients, one sentence for a wrong option; the shared functions."""

import math

import pytest
import torch

from facezoo.heads import Classifier, create_embedding_losses, create_head
from facezoo.heads.margin import add_angle, inside, put_target, take_target
from facezoo.options import options_of
from facezoo.registry import HEADS, LOSSES
from facezoo.types import InputError

CLASSES = 7
VARIANTS = [
    "arcface:fallback=cosine,fallback_margin=0.2",
    "arcface:easy_margin=true",
    "mvsoftmax:kind=arc",
    "mvsoftmax:kind=arc,easy_margin=true",
    "combined:m1=1.2,m2=0.2,m3=0.1",
    "combined:m1=1.5,filter=0.4",
    "magface:easy_margin=false",
    "normface:learn_scale=true",
]
SPECS = [*HEADS.names(), *HEADS.presets(), *VARIANTS]

STOPPED = ("adaface", "arcnegface", "cifp", "circleloss", "npcface", "elastic", "@insightface")
"""Heads with parts that have no gradient, or that draw: finite differences see more than their gradient.

`arcface@insightface` and `combined@insightface` go straight through, `cosface@insightface` is `cosface`.
"""


def create(spec: str, classes: int = CLASSES):
    return HEADS.create(spec, **HEADS.taken(spec, {"num_classes": classes}))


def cosines(rows: int = 64, classes: int = 9) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    labels = torch.randint(classes, (rows,))
    cosine = torch.rand(rows, classes, dtype=torch.float64) * 1.8 - 0.9
    # Easy, hard, beyond every fallback.
    cosine.scatter_(1, labels[:, None], torch.linspace(-0.999, 0.999, rows, dtype=torch.float64)[:, None])
    return cosine, labels


def test_plain_softmax_is_the_inner_product():
    torch.manual_seed(0)
    head = create_head("softmax", embedding_dim=8, num_classes=5)
    embeddings = torch.randn(16, 8)
    torch.testing.assert_close(head.logits(embeddings, torch.zeros(16, dtype=torch.int64)), embeddings @ head.weight.T)


def test_a_bias_is_added_class_by_class():
    torch.manual_seed(0)
    head = create_head("softmax:bias=true", embedding_dim=8, num_classes=5)
    head.margin.bias.data = torch.randn(5)
    embeddings, labels = torch.randn(16, 8), torch.randint(5, (16,))
    torch.testing.assert_close(head.logits(embeddings, labels), embeddings @ head.weight.T + head.margin.bias)


def test_a_sampled_bias_is_that_of_the_sampled_classes():
    torch.manual_seed(0)
    head = create_head("softmax:bias=true", embedding_dim=8, num_classes=40, sample_rate=0.25)
    embeddings, labels = torch.randn(2, 8), torch.tensor([3, 30])
    head(embeddings, labels)["classification"].backward()
    rows = head.weight.grad.coalesce().indices()[0]
    unsampled = torch.ones(40, dtype=torch.bool).index_fill(0, rows, False)
    assert (head.margin.bias.grad[unsampled] == 0).all() and (head.margin.bias.grad[rows] != 0).all()


@pytest.mark.parametrize(
    "spec",
    ["arcface:margin=0", "cosface:margin=0", "mvsoftmax:margin=0,weight=1,scale=64", "combined:m1=1,m2=0,m3=0"],
)
def test_a_margin_of_zero_is_normface(spec):
    cosine, labels = cosines()
    norms = torch.ones(len(labels), 1)
    torch.testing.assert_close(HEADS.create(spec)(cosine, labels, norms), 64 * cosine, atol=1e-9, rtol=0)


@pytest.mark.parametrize("spec", ["arcface", "cosface", "mvsoftmax", "combined", "curricularface", "arcnegface"])
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


# The others measure their negatives by the true class; that they find it on another rank is for test_ranks.
@pytest.mark.parametrize("spec", ["arcface", "circleloss", "combined:filter=0.4", "cosface", "magface", "sphereface"])
def test_a_row_without_its_true_class_gets_no_margin(spec):
    cosine, labels = cosines()
    margin, norms = HEADS.create(spec), torch.ones(len(labels), 1)
    here = margin(cosine, labels, norms)
    absent = margin(cosine, torch.full_like(labels, -1), norms)
    others = torch.ones_like(cosine, dtype=torch.bool).scatter(1, labels[:, None], False)
    torch.testing.assert_close(absent[others], here[others])


def head_of(spec: str, **given) -> Classifier:
    torch.manual_seed(0)
    return create_head(spec, embedding_dim=16, num_classes=CLASSES, **given)


def finite_at_collinear_and_at_zero_embeddings(head, dtype):
    centres = head.weight.detach()
    across = torch.nn.functional.normalize(centres.roll(1, 0) + centres.roll(2, 0))
    across = centres.norm(dim=1, keepdim=True) * across
    near = [math.cos(theta) * centres + math.sin(theta) * across for theta in (1e-4, 1e-3, math.pi - 1e-3)]
    embeddings = torch.cat([centres, -centres, 1e3 * centres, torch.zeros(CLASSES, 16), 1e-6 * centres, *near])
    embeddings = embeddings.to(dtype).requires_grad_()

    total = sum(head(embeddings, torch.arange(CLASSES).repeat(8)).values())
    total.backward()

    assert torch.isfinite(total)
    assert torch.isfinite(embeddings.grad).all()
    assert all(torch.isfinite(p.grad).all() for p in head.parameters())
    assert all(torch.isfinite(b).all() for b in head.buffers())


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_gradients_are_finite_at_collinear_and_at_zero_embeddings(spec, dtype):
    finite_at_collinear_and_at_zero_embeddings(head_of(spec), dtype)


@pytest.mark.parametrize("loss", ["focal", "focal:gamma=0.5", "label_smoothing"])
@pytest.mark.parametrize("spec", HEADS.names())
def test_gradients_of_other_losses_are_finite_there_too(spec, loss):
    finite_at_collinear_and_at_zero_embeddings(head_of(spec, loss=loss), torch.float32)


# Softmax's logits are linear in the embedding, also at zero.
@pytest.mark.parametrize("spec", [spec for spec in SPECS if not spec.startswith(("softmax", "sphereface"))])
def test_the_gradient_of_a_zero_embedding_is_zero(spec):
    head = head_of(spec)
    embeddings = torch.zeros(3, 16, requires_grad=True)
    sum(head(embeddings, torch.arange(3)).values()).backward()
    assert (embeddings.grad == 0).all()


@pytest.mark.parametrize("spec", [spec for spec in SPECS if not any(word in spec for word in STOPPED)])
def test_gradients_are_those_of_finite_differences(spec):
    """Of both losses, by embeddings, centres and the margin's own parameters."""
    head = head_of(spec).double().eval()
    torch.manual_seed(2)
    # Norms inside MagFace's bounds.
    embeddings = (
        torch.nn.functional.normalize(torch.randn(5, 16, dtype=torch.float64)) * torch.arange(20, 70, 10)[:, None]
    )
    labels = torch.tensor([0, 3, 3, 6, 1])
    names, values = zip(*head.named_parameters(), strict=True)

    def loss(embeddings, *values):
        parameters = dict(zip(names, values, strict=True))
        return sum(torch.func.functional_call(head, parameters, (embeddings, labels)).values())

    inputs = [embeddings.requires_grad_(), *(value.detach().clone().requires_grad_() for value in values)]
    assert torch.autograd.gradcheck(loss, inputs)


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
        ("arcface:fallback_margin=0.1", "belongs to fallback=cosine"),
        ("magface:fallback=none", "leave fallback=none out"),
        ("magface:low=200", "write 0 < low < high"),
        ("magface:high_margin=2", "high_margin=2.0"),
        ("sphereface:margin=0", "whole number from 1 to"),
        ("sphereface:lambda_min=-1", "at least 0"),
        ("arcnegface:sigma=0", "sigma is 0.0"),
        ("arcnegface:margin=2", "margin is 2.0"),
        ("curricularface:alpha=0", "alpha is 0.0"),
        ("curricularface:margin=-1", "margin is -1.0"),
        ("npcface:m0=1.5", "m0=1.5"),
        ("softmax:bias=true", "needs num_classes"),
        ("adacos:num_classes=2", "at least 3"),
        ("adacos", "needs num_classes"),
        ("adamsoftmax:num_classes=0", "at least 1"),
        ("arcface:fallback=square", "'linear', 'cosine' or 'none'"),
        ("combined:m1=0.5", "m1 is 0.5"),
        ("combined:filter=1.5", "filter is 1.5"),
        ("cosface:margin=-0.1", "cosface: margin is -0.1, it must be 0 to 1"),
        ("amsoftmax:margin=9", "margin is 9.0"),
        ("circleloss:margin=-1", "margin is -1.0"),
        ("cifp:margin=2", "margin is 2.0"),
        ("adaface:margin=-1", "margin is -1.0"),
        ("mvsoftmax:kind=arc,margin=9", "below pi/2 radians"),
        ("mvsoftmax:margin=9", "0 to 1"),
        ("mvsoftmax:weight=0.5", "weight is 0.5"),
        ("elasticarc:margin=9", "elasticarc: margin is 9.0, it must be at least 0 and below pi/2 radians"),
        ("elasticcos:margin=9", "0 to 1"),
        ("combined:m2=2", "m2 is 2.0"),
        ("combined:m3=-1", "m3 is -1.0"),
        ("magface:penalty_weight=-1", "penalty_weight is -1.0"),
        ("adamsoftmax:num_classes=3,penalty_weight=-1", "penalty_weight is -1.0"),
        ("arcfase", r"unknown head 'arcfase' \(did you mean arcface[?]\); known: adacos, "),
    ],
)
def test_a_wrong_option_is_one_sentence(spec, says):
    with pytest.raises(InputError, match=says):
        HEADS.create(spec)


@pytest.mark.parametrize("spec", ["focal:gamma=-1", "cross_entropy:smoothing=1", "label_smoothing:smoothing=-0.1"])
def test_a_wrong_option_of_a_loss_is_refused(spec):
    with pytest.raises(InputError):
        LOSSES.create(spec)


@pytest.mark.parametrize("spec", ["adacos:num_classes=50", "adacos:50", "softmax:bias=true,num_classes=3"])
def test_the_number_of_classes_is_not_an_option_of_a_spec(spec):
    with pytest.raises(InputError, match="num_classes follows from the data"):
        create_head(spec, 8, 7)
    with pytest.raises(InputError, match="num_classes follows from the data"):
        create_head("cosface", 8, 7, "uniface:num_classes=50")
    with pytest.raises(InputError, match="embedding_dim follows from the data"):
        create_embedding_losses(["centre:embedding_dim=5"], 7, 8)


@pytest.mark.parametrize("scale", ["0", "-3", "nan", "inf"])
@pytest.mark.parametrize("name", [name for name in HEADS.names() if "scale" in options_of(HEADS.factory(name))])
def test_a_scale_is_above_zero_and_finite(name, scale):
    with pytest.raises(InputError, match=r"scale is .*, it must be above 0"):
        create_head(f"{name}:scale={scale}", 8, 7)


def test_cifp_takes_a_sample_of_one_class():
    """Every image of the batch is of one class, and none of the others is sampled."""
    head = create_head("cifp", 8, 20, sample_rate=0.05)
    losses = head(torch.randn(4, 8), torch.full((4,), 3))
    assert losses["classification"].item() == 0
