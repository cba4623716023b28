"""The classifier: named losses, float32 under autocast, losses by their definition."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from facezoo.heads import Classifier, create_head
from facezoo.heads.cosface import CosFace
from facezoo.heads.losses import CrossEntropy, Focal
from facezoo.registry import LOSSES
from facezoo.types import InputError


class LongEmbeddings(CosFace):
    """CosFace that asks for embeddings of length 1, as a margin with a second loss."""

    def penalty(self, norms):
        return (norms - 1).square().mean()


def batch(rows: int = 16, dim: int = 8, classes: int = 5):
    torch.manual_seed(0)
    return torch.randn(rows, dim), torch.randint(classes, (rows,))


def test_a_margin_without_a_penalty_gives_one_loss():
    assert set(create_head("arcface", 8, 5)(*batch())) == {"classification"}


def test_a_penalty_is_a_loss_of_its_own():
    embeddings, labels = batch()
    losses = Classifier(8, 5, LongEmbeddings(), CrossEntropy())(embeddings, labels)
    assert set(losses) == {"classification", "penalty"}
    torch.testing.assert_close(losses["penalty"], (embeddings.norm(dim=1) - 1).square().mean())


def test_the_length_of_a_centre_has_no_say_under_a_margin():
    embeddings, labels = batch()
    head = create_head("cosface", 8, 5)
    before = head(embeddings, labels)["classification"]
    head.weight.data *= 3
    torch.testing.assert_close(head(embeddings, labels)["classification"], before)


def test_the_centres_are_one_parameter_of_classes_by_dimensions():
    state = create_head("arcface", 8, 5).state_dict()
    assert {key: tuple(value.shape) for key, value in state.items()} == {"weight": (5, 8)}


def test_logits_are_float32_under_autocast():
    embeddings, labels = batch()
    head = create_head("arcface", 8, 5)
    exact = head(embeddings, labels)["classification"]
    with torch.autocast("cpu", torch.bfloat16):
        assert head.logits(embeddings.bfloat16(), labels).dtype == torch.float32
        assert torch.equal(head(embeddings, labels)["classification"], exact)


def test_float64_stays_float64():
    embeddings, labels = batch()
    assert create_head("arcface", 8, 5).double()(embeddings.double(), labels)["classification"].dtype == torch.float64


@pytest.mark.parametrize(("dim", "classes"), [(0, 5), (8, 0)])
def test_a_head_without_classes_or_dimensions_is_refused(dim, classes):
    with pytest.raises(InputError, match="at least 1"):
        create_head("arcface", dim, classes)


def test_a_head_learns_separable_identities():
    torch.manual_seed(0)
    people = torch.randn(10, 16)
    labels = torch.arange(10).repeat(8)
    embeddings = people[labels] + 0.1 * torch.randn(80, 16)
    head = create_head("arcface:margin=0.3,scale=16", 16, 10)
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1, momentum=0.9)
    for _ in range(60):
        optimizer.zero_grad()
        head(embeddings, labels)["classification"].backward()
        optimizer.step()
    nearest = (F.normalize(embeddings) @ F.normalize(head.weight).T).argmax(1)
    assert (nearest == labels).all()


def test_any_margin_goes_with_any_loss():
    embeddings, labels = batch()
    for loss in LOSSES.names():
        assert torch.isfinite(create_head("mvsoftmax", 8, 5, loss)(embeddings, labels)["classification"])


def test_focal_weighs_every_sample_by_its_own_probability():
    logits, labels = batch(classes=8)
    p = logits.softmax(1)[range(16), labels]
    torch.testing.assert_close(Focal(gamma=1.5)(logits, labels), ((1 - p) ** 1.5 * -p.log()).mean())


def test_focal_of_the_batch_mean_weighs_the_mean_cross_entropy():
    logits, labels = batch(classes=8)
    mean = F.cross_entropy(logits, labels)
    focal = Focal(reduction="batch_mean")(logits, labels)
    torch.testing.assert_close(focal, (1 - (-mean).exp()) ** 2 * mean)


def test_focal_with_gamma_zero_is_cross_entropy():
    logits, labels = batch(classes=8)
    torch.testing.assert_close(Focal(gamma=0)(logits, labels), CrossEntropy()(logits, labels))


def test_label_smoothing_spreads_its_share_over_all_classes():
    logits, labels = batch(classes=8)
    surprise = -logits.log_softmax(1)
    wanted = 0.9 * surprise[range(16), labels].mean() + 0.1 * surprise.mean()
    torch.testing.assert_close(LOSSES.create("label_smoothing")(logits, labels), wanted)


def test_a_margin_is_any_module_with_the_signature():
    class Shift(nn.Module):
        def forward(self, cosine, labels, norms):
            return cosine + norms

    assert Classifier(8, 5, Shift(), CrossEntropy())(*batch())["classification"].ndim == 0
