"""Margins against their papers' formulas, written again as slow loops over single numbers, gradients included.

The loops know angles and stop gradients where the paper does; they share nothing with the margins.
"""

import math

import pytest
import torch

from facezoo.registry import HEADS

ROWS, CLASSES = 25, 9


def add(c, m):
    return torch.cos(torch.acos(c) + m)


def arc(c, m=0.5, fallback="linear", easy=False, margin_am=0.0):
    if easy:
        return add(c, m) if c > 0 else c
    if torch.acos(c) + m > math.pi and fallback != "none":
        return c - m * math.sin(m) if fallback == "linear" else c - margin_am
    return add(c, m)


def same(negatives):
    return list(negatives)


def margin_only(target):
    """A formula that leaves the negatives alone."""
    return lambda c, negatives, norm: (target(c), same(negatives))


def mv(kind, easy, m=0.35, t=1.12):
    def formula(c, negatives, norm):
        moved = c - m if kind == "am" else add(c, m)
        plain = easy and c <= (m if kind == "am" else 0)
        return c if plain else moved, [t * o + t - 1 if o > moved else o for o in negatives]

    return formula


def combined(m1, m2, m3, threshold=1.0):
    def formula(c, negatives, norm):
        return torch.cos(m1 * torch.acos(c) + m2) - m3, [0 * o if o > threshold else o for o in negatives]

    return formula


def straight(value):
    """The value of a formula, the gradient of the cosine."""
    return lambda c: value(c).detach() + c - c.detach()


def arcneg(c, negatives, norm):
    target = arc(c)
    weights = [1.2 * math.exp(-((o.item() - target.item()) ** 2) / 2) for o in negatives]
    return target, [w * o + w - 1 for w, o in zip(weights, negatives, strict=True)]


def circle(c, negatives, norm, m=0.25):
    target = max(0.0, 1 + m - c.item()) * (c - (1 - m))
    return target, [max(0.0, o.item() + m) * (o - m) for o in negatives]


def npc(c, negatives, norm, m=0.5):
    edge = math.cos(math.acos(c.item()) + m)
    hard = [o.item() for o in negatives if o.item() > edge]
    margin = 0.4 + 0.2 * (sum(hard) / len(hard) if hard else 0)
    return add(c, margin) if c > 0 else c, [1.1 * o + 0.2 if o.item() > edge else o for o in negatives]


def mag(easy, fallback="linear"):
    def formula(c, negatives, norm):
        a = norm if 10 < norm.item() < 110 else torch.tensor(min(max(norm.item(), 10.0), 110.0), dtype=torch.float64)
        m = 0.45 + (0.8 - 0.45) * (a - 10) / 100
        if easy:
            return add(c, m) if c > 0 else c, same(negatives)
        if torch.acos(c) + m > math.pi:
            return c - m * torch.sin(m) if fallback == "linear" else c, same(negatives)
        return add(c, m), same(negatives)

    return formula


def sphere(m, steps):
    weight = max(5.0, 1000 / (1 + 0.12 * steps))

    def formula(c, negatives, norm):
        angle = torch.acos(c)
        k = math.floor(m * angle.item() / math.pi)
        psi = (-1) ** k * torch.cos(m * angle) - 2 * k
        return norm * (weight * c + psi) / (1 + weight), [norm * o for o in negatives]

    return formula


def plain_product(c, negatives, norm):
    return norm * c, [norm * o for o in negatives]


def curricular(t):
    def formula(c, negatives, norm):
        edge = math.cos(math.acos(c.item()) + 0.5)
        return arc(c), [o * (t + o) if o.item() > edge else o for o in negatives]

    return formula


FORMULAS = {
    "softmax": (1, plain_product),
    "normface": (64, margin_only(lambda c: c)),
    "normface:scale=20,learn_scale=true": (20, margin_only(lambda c: c)),
    "cosface": (64, margin_only(lambda c: c - 0.35)),
    "amsoftmax": (30, margin_only(lambda c: c - 0.35)),
    "arcface": (64, margin_only(arc)),
    "arcface:fallback=cosine": (64, margin_only(lambda c: arc(c, fallback="cosine"))),
    "arcface:fallback=cosine,fallback_margin=0.2": (
        64,
        margin_only(lambda c: arc(c, fallback="cosine", margin_am=0.2)),
    ),
    "arcface:fallback=none": (64, margin_only(lambda c: arc(c, fallback="none"))),
    "arcface:easy_margin=true": (64, margin_only(lambda c: arc(c, easy=True))),
    "arcface:gradient=straight_through": (64, margin_only(straight(arc))),
    "mvsoftmax": (32, mv("am", False)),
    "mvsoftmax:kind=arc": (32, mv("arc", False)),
    "mvsoftmax:easy_margin=true": (32, mv("am", True)),
    "mvsoftmax:kind=arc,easy_margin=true": (32, mv("arc", True)),
    "combined": (64, combined(1, 0.3, 0.2)),
    "combined:m1=1.2,m2=0.2,m3=0.1": (64, combined(1.2, 0.2, 0.1)),
    "combined:m1=1.5,filter=0.4": (64, combined(1.5, 0.3, 0.2, 0.4)),
    "combined@insightface": (64, margin_only(straight(lambda c: add(c, 0.5)))),
    "arcnegface": (64, arcneg),
    "circleloss": (256, circle),
    "npcface": (64, npc),
    "npcface@facexzoo": (32, lambda c, negatives, norm: npc(c, negatives, norm, 0.35)),
    "magface": (64, mag(easy=True)),
    "magface:easy_margin=false": (64, mag(easy=False)),
    "magface@facexzoo": (64, mag(easy=False, fallback="cosine")),
    **{f"sphereface:margin={m}": (1, sphere(m, steps=0)) for m in (1, 2, 3, 4, 5)},
    "sphereface:margin=4,base=0": (1, sphere(4, steps=1e9)),
    "curricularface": (64, curricular(0.0)),
    "adacos": (math.sqrt(2) * math.log(CLASSES - 1), margin_only(lambda c: c)),
}


def evaluated(spec: str):
    """Without the state that training moves."""
    margin = HEADS.create(spec, **HEADS.taken(spec, {"num_classes": CLASSES})).eval()
    if spec == "adacos":
        margin.double().scale.fill_(FORMULAS[spec][0])
    return margin


def batch(angles: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Cosines with these angles to the true classes, labels, and norms below, inside and above MagFace's bounds."""
    torch.manual_seed(0)
    rows = len(angles)
    labels = torch.randint(CLASSES, (rows,))
    cosine = torch.rand(rows, CLASSES, dtype=torch.float64) * 1.8 - 0.9
    cosine.scatter_(1, labels[:, None], angles.cos().double()[:, None])
    return cosine, labels, torch.linspace(5, 130, rows, dtype=torch.float64)[:, None]


def slow(scale, formula, cosine, labels, norms) -> torch.Tensor:
    rows = []
    for values, label, norm in zip(cosine, labels.tolist(), norms[:, 0], strict=True):
        row = list(values)
        target, others = formula(row[label], row[:label] + row[label + 1 :], norm)
        rows.append(torch.stack([*others[:label], target, *others[label:]]))
    return scale * torch.stack(rows)


def gradients(logits, *inputs) -> list[torch.Tensor]:
    torch.manual_seed(1)
    found = torch.autograd.grad((logits * torch.randn_like(logits)).sum(), inputs, allow_unused=True, retain_graph=True)
    return [torch.zeros_like(i) if g is None else g for i, g in zip(inputs, found, strict=True)]


def agree(margin, scale, formula, cosine, labels, norms):
    cosine, norms = cosine.requires_grad_(), norms.requires_grad_()
    logits, wanted = margin(cosine, labels, norms), slow(scale, formula, cosine, labels, norms)
    torch.testing.assert_close(logits, wanted, rtol=1e-9, atol=1e-9)
    for got, right in zip(gradients(logits, cosine, norms), gradients(wanted, cosine, norms), strict=True):
        torch.testing.assert_close(got, right, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("spec", FORMULAS)
def test_logits_and_gradients_are_the_papers_formula(spec):
    # Easy, hard, beyond every fallback.
    agree(evaluated(spec).double(), *FORMULAS[spec], *batch(torch.linspace(0.03, math.pi - 0.03, ROWS)))


@pytest.mark.parametrize("spec", FORMULAS)
def test_float32_logits_are_right_at_and_near_the_poles(spec):
    """To a thousandth of the scale: a float32 cosine cannot tell an angle below 3e-4 from 0."""
    cosine, labels, norms = batch(torch.tensor([0, 1e-4, 1e-3, math.pi - 1e-3, math.pi], dtype=torch.float64))
    scale, formula = FORMULAS[spec]
    logits = evaluated(spec)(cosine.float(), labels, norms.float())
    wanted = slow(scale, formula, cosine, labels, norms)
    reach = wanted.abs().amax(1, keepdim=True)
    assert ((logits - wanted).abs() <= 1e-3 * reach).all()


@pytest.mark.parametrize("theta", [1e-4, 1e-3, math.pi - 1e-3])
@pytest.mark.parametrize("spec", FORMULAS)
def test_the_embeddings_gradient_is_right_near_the_poles(spec, theta):
    """The cosine's derivative by the embedding vanishes as fast as the margin's by the cosine grows."""
    scale, formula = FORMULAS[spec]
    labels, margin = torch.tensor([0]), evaluated(spec).double()
    centres = torch.tensor([[1.0, 0.0], [0.6, 0.8]], dtype=torch.float64)
    embedding = 30 * torch.tensor([[math.cos(theta), math.sin(theta)]], dtype=torch.float64)
    embedding.requires_grad_()
    norms = embedding.norm(dim=1, keepdim=True)
    cosine = embedding / norms @ centres.T
    (got,) = gradients(margin(cosine, labels, norms), embedding)
    (wanted,) = gradients(slow(scale, formula, cosine, labels, norms), embedding)
    torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-3 * wanted.abs().max().item())


def test_sphereface_s_weight_falls_with_the_training_steps():
    cosine, labels, norms = batch(torch.linspace(0.03, 3, ROWS))
    margin = HEADS.create("sphereface")
    for step in range(1, 4):
        logits = margin(cosine, labels, norms)
        torch.testing.assert_close(logits, slow(1, sphere(4, step), cosine, labels, norms), rtol=1e-9, atol=1e-9)
    assert margin.iteration == 3


def test_curricularface_weighs_by_the_running_mean_it_has_just_updated():
    margin = HEADS.create("curricularface:alpha=0.1").double()
    mean = 0.0
    for step in range(3):
        cosine, labels, norms = batch(torch.linspace(0.03, 2 + 0.3 * step, ROWS))
        mean = 0.1 * sum(row[label].item() for row, label in zip(cosine, labels, strict=True)) / ROWS + 0.9 * mean
        agree(margin, 64, curricular(mean), cosine, labels, norms)
        assert margin.t.item() == pytest.approx(mean, rel=1e-12)


def test_adacos_follows_the_negatives_and_the_median_angle():
    margin = HEADS.create("adacos", num_classes=CLASSES).double()
    scale = margin.scale.item()
    assert scale == pytest.approx(math.sqrt(2) * math.log(CLASSES - 1), rel=1e-6)
    for step in range(3):
        cosine, labels, norms = batch(torch.linspace(0.03, 0.5 + step, ROWS))
        sums = 0.0
        for row, label in zip(cosine.tolist(), labels.tolist(), strict=True):
            sums += sum(math.exp(scale * o) for o in row[:label] + row[label + 1 :])
        angles = sorted(math.acos(row[label]) for row, label in zip(cosine.tolist(), labels.tolist(), strict=True))
        scale = math.log(sums / ROWS) / math.cos(min(math.pi / 4, angles[(ROWS - 1) // 2]))
        agree(margin, scale, margin_only(lambda c: c), cosine, labels, norms)
        assert margin.scale.item() == pytest.approx(scale, rel=1e-12)


def test_adacos_at_a_large_scale_does_not_overflow():
    margin = HEADS.create("adacos", num_classes=CLASSES)
    margin.scale.fill_(1e4)  # e^1e4 is beyond float64
    cosine, labels, norms = batch(torch.linspace(0.03, 1, ROWS))
    assert margin(cosine.float(), labels, norms.float()).isfinite().all() and margin.scale.isfinite()


def test_a_fixed_adacos_stays_at_its_first_scale():
    margin = HEADS.create("adacos:fixed=true", num_classes=CLASSES)
    before = margin.scale.clone()
    margin(*batch(torch.linspace(0.03, 1, ROWS)))
    assert torch.equal(margin.scale, before)


def test_adamsoftmax_takes_the_classes_own_margin_and_rewards_wide_ones():
    margin = HEADS.create("adamsoftmax", num_classes=CLASSES).double()
    assert ((margin.margins >= 0.3) & (margin.margins <= 0.4)).all()
    with torch.no_grad():
        margin.margins[:2] = torch.tensor([-0.5, 1.5])  # brought back to 0 and 1
    cosine, labels, norms = batch(torch.linspace(0.03, 3, ROWS))
    logits, penalty = margin(cosine, labels, norms, labels), margin.penalty(norms)

    margins = [0.0, 1.0, *margin.margins[2:].tolist()]
    for row, label, got in zip(cosine.tolist(), labels.tolist(), logits.tolist(), strict=True):
        wanted = [30 * (c - margins[label] if j == label else c) for j, c in enumerate(row)]
        assert got == pytest.approx(wanted, abs=1e-9)
    assert penalty.item() == pytest.approx(70 * (1 - sum(margins) / CLASSES))
    (by_loss,) = torch.autograd.grad(logits.sum(), margin.margins)
    assert by_loss.tolist() == pytest.approx([-30.0 * int((labels == j).sum()) for j in range(CLASSES)])
    (by_penalty,) = torch.autograd.grad(penalty, margin.margins)
    assert by_penalty.tolist() == pytest.approx([-70 / CLASSES] * CLASSES)


def test_magface_asks_for_long_embeddings():
    norms = torch.tensor([[5.0], [10.5], [60.0], [109.0], [200.0]], dtype=torch.float64, requires_grad=True)
    penalty = HEADS.create("magface").penalty(norms)
    kept = [10.0, 10.5, 60.0, 109.0, 110.0]
    assert penalty.item() == pytest.approx(35 * sum(a / 110**2 + 1 / a for a in kept) / 5)
    (slope,) = torch.autograd.grad(penalty, norms)
    inside = [0, *(35 / 5 * (1 / 110**2 - 1 / a**2) for a in kept[1:4]), 0]
    assert slope[:, 0].tolist() == pytest.approx(inside)


def test_a_learnt_scale_is_a_parameter_with_the_gradient_of_a_factor():
    margin = HEADS.create("normface:scale=20,learn_scale=true").double()
    cosine, labels, norms = batch(torch.linspace(0.03, 3, ROWS))
    (slope,) = torch.autograd.grad(margin(cosine, labels, norms).sum(), margin.scale)
    assert slope.item() == pytest.approx(cosine.sum().item())
