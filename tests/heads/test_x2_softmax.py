"""X2-Softmax: the parabola and its slope."""

import pytest
import torch

from facezoo.registry import HEADS
from facezoo.types import InputError


@pytest.mark.parametrize(
    ("spec", "a", "h", "k"), [("x2softmax", -0.9, 0, 0.65), ("x2softmax:a=-0.4,h=-0.5,k=1", -0.4, -0.5, 1)]
)
def test_the_true_logit_is_a_parabola_of_the_angle(spec, a, h, k):
    angle = torch.linspace(0.01, 3.1, 50, dtype=torch.float64)
    cosine = torch.stack([angle.cos(), torch.full_like(angle, 0.3)], 1)
    logits = HEADS.create(spec)(cosine, torch.zeros(50, dtype=torch.int64), cosine[:, :1])
    assert logits[:, 0].tolist() == pytest.approx([64 * (a * (t - h) ** 2 + k) for t in angle.tolist()])
    assert logits[:, 1].tolist() == pytest.approx([64 * 0.3] * 50)
    assert (logits[:, 0].diff() < 0).all()


def test_the_margin_grows_with_the_angle():
    """From 0.55 radians on, the angle that would have this logit without a margin lies farther and farther off."""
    angle = torch.linspace(0.55, 1.2, 20, dtype=torch.float64)
    logits = HEADS.create("x2softmax")(angle.cos()[:, None], torch.zeros(20, dtype=torch.int64), angle[:, None])
    assert (((logits[:, 0] / 64).acos() - angle).diff() > 0).all()


@pytest.mark.parametrize(("option", "says"), [("a=0", "a is 0"), ("h=0.2", "h is 0.2")])
def test_a_curve_that_rises_with_the_angle_is_refused(option, says):
    with pytest.raises(InputError, match=says):
        HEADS.create(f"x2softmax:{option}")
