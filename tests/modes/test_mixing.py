"""Mixed images: what they are made of, what they cost in both labels, and that chance is the run's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from facezoo.heads import create_embedding_losses, create_head
from facezoo.modes.conventional import Conventional
from facezoo.modes.mixing import mix
from facezoo.registry import MODES
from facezoo.types import InputError


class Flat(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3 * 6 * 8, 8)

    def forward(self, images):
        return self.layer(images.flatten(1))


def batch():
    torch.manual_seed(1)
    return torch.randn(10, 3, 6, 8), torch.arange(10) % 5, torch.arange(10)


def mode(**options) -> Conventional:
    torch.manual_seed(0)
    return Conventional(Flat(), create_head("magface", 8, 5), **options)


def test_mixup_is_the_weighted_sum_of_two_images():
    images, _, _ = batch()
    mixed = mix(images, 0.4, 0)

    assert 0 <= mixed.share <= 1 and sorted(mixed.partner.tolist()) == list(range(10))
    for own, other, found in zip(images.numpy(), images[mixed.partner].numpy(), mixed.images.numpy(), strict=True):
        np.testing.assert_allclose(found, mixed.share * own + (1 - mixed.share) * other, atol=1e-6)


def test_cutmix_puts_one_rectangle_of_the_partner_into_each_image():
    torch.manual_seed(2)
    images = torch.arange(4.0)[:, None, None, None].expand(4, 3, 20, 30)
    for _ in range(50):
        mixed = mix(images, 0, 1.0)
        if (moved := mixed.partner != torch.arange(4)).any():
            strange = (mixed.images != images)[moved]
            assert (strange == strange[:1]).all()  # the same pixels of every image and channel
            assert abs(1 - strange.float().mean().item() - mixed.share) < 1e-6
            rows, columns = strange[0, 0].any(1).sum(), strange[0, 0].any(0).sum()
            assert rows * columns == strange[0, 0].sum()


def test_shares_follow_the_beta_distribution():
    torch.manual_seed(3)
    images = torch.zeros(2, 3, 4, 4)
    shares = np.array([mix(images, 0.5, 0).share for _ in range(4000)])

    assert abs(shares.mean() - 0.5) < 0.02
    assert abs(shares.var() - 1 / (4 * (2 * 0.5 + 1))) < 0.01  # of Beta(a, a): 1 / (4 (2 a + 1))


def test_with_both_a_batch_has_one_of_the_two():
    torch.manual_seed(4)
    images = torch.rand(6, 3, 16, 16)
    whole = [
        bool(((m := mix(images, 1.0, 1.0)).images == images)[m.partner != torch.arange(6)].any()) for _ in range(60)
    ]
    assert 15 < sum(whole) < 45  # CutMix leaves pixels as they are


def test_the_loss_is_that_of_both_labels_by_their_shares():
    images, labels, samples = batch()
    trained = mode(mixup=0.3)
    torch.manual_seed(5)
    found = trained(images, labels, samples)

    torch.manual_seed(5)
    mixed = mix(images, 0.3, 0)
    plain = mode()
    own = plain(mixed.images, labels, samples)
    other = plain(mixed.images, labels[mixed.partner], samples)
    assert set(found) == {"classification", "penalty"}
    for name in found:
        torch.testing.assert_close(found[name], mixed.share * own[name] + (1 - mixed.share) * other[name])
    found["classification"].backward()
    assert trained.backbone.layer.weight.grad.abs().sum() > 0


def test_outside_of_training_nothing_is_mixed():
    inputs = batch()
    trained, plain = mode(cutmix=1.0).eval(), mode().eval()
    assert all(torch.equal(loss, plain(*inputs)[name]) for name, loss in trained(*inputs).items())


def test_chance_comes_from_the_state_that_a_run_saves():
    images, _, _ = batch()
    state = torch.get_rng_state()
    first = mix(images, 0.2, 1.0)
    torch.set_rng_state(state)
    second = mix(images, 0.2, 1.0)
    assert first.share == second.share and torch.equal(first.images, second.images)


def test_what_has_no_meaning_is_refused():
    losses = create_embedding_losses(["centre"], 5, 8)
    with pytest.raises(InputError, match="embedding_losses compare images of one label; leave mixup and cutmix out"):
        mode(embedding_losses=losses, mixup=0.2)
    with pytest.raises(InputError, match="cutmix is -1"):
        mode(cutmix=-1.0)
    made = MODES.create_for("conventional:mixup=0.2", backbone=Flat(), head=create_head("arcface", 8, 5))
    assert made.mixup == 0.2
