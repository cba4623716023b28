"""Semi-siamese training: the moving average, what BatchNorm sees, and the order of the two images."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from facezoo.heads import prototype
from facezoo.modes.gallery import GalleryNetwork
from facezoo.modes.semi_siamese import SemiSiamese
from facezoo.modes.side_by_side import branches, groups
from facezoo.types import InputError

MARGIN = "cosface:margin=0.2,scale=8"


class Network(nn.Module):
    """Crops to embeddings with BatchNorm and dropout."""

    embedding_dim = 8

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.norm, self.dropout = nn.Linear(12, 8), nn.BatchNorm1d(8), nn.Dropout(0.5)

    def forward(self, images):
        return self.norm(self.dropout(self.layer(images.flatten(1))))


def mode(**options) -> SemiSiamese:
    torch.manual_seed(0)
    return SemiSiamese(Network(), MARGIN, **{"queue": 32, **options}).train()


def pairs(people: int = 6):
    torch.manual_seed(1)
    return torch.randn(2 * people, 3, 2, 2), torch.arange(people).repeat_interleave(2), torch.arange(2 * people)


def step(trained: SemiSiamese, rate: float = 0.1) -> None:
    trained(*pairs())["prototype"].backward()
    for parameter in trained.backbone.parameters():
        parameter.data -= rate * parameter.grad
        parameter.grad = None
    trained.after_step()


def test_the_gallery_starts_as_a_copy_and_follows_the_parameters():
    trained = mode(decay=0.9)
    wanted = [p.detach().double() for p in trained.backbone.parameters()]
    for _ in range(3):
        step(trained)
        wanted = [0.9 * w + 0.1 * p.double() for w, p in zip(wanted, trained.backbone.parameters(), strict=True)]
    for own, value, probe in zip(trained.gallery.parameters(), wanted, trained.backbone.parameters(), strict=True):
        torch.testing.assert_close(own.double(), value, rtol=1e-6, atol=1e-7)
        assert not torch.equal(own, probe) and not own.requires_grad


def test_the_gallery_normalises_by_the_batch_and_drops_nothing():
    trained = mode()
    network = trained.gallery.network
    assert network.norm.training and not network.dropout.training and trained.backbone.dropout.training
    images = pairs()[0]
    found = trained.gallery(images)
    raw = network.layer(images.flatten(1)).detach()
    wanted = (raw - raw.mean(0)) / (raw.var(0, unbiased=False) + 1e-5).sqrt()
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(network.norm.running_mean, 0.1 * raw.mean(0))


def test_statistics_are_averaged_and_used_if_wished():
    trained = mode(decay=0.9, ema_buffers=True)
    assert not trained.gallery.network.norm.training
    wanted = trained.backbone.norm.running_mean.clone()
    for _ in range(3):
        step(trained)
        wanted = 0.9 * wanted + 0.1 * trained.backbone.norm.running_mean
    norm = trained.gallery.network.norm
    torch.testing.assert_close(norm.running_mean, wanted)
    assert norm.num_batches_tracked == trained.backbone.norm.num_batches_tracked == 6


def test_what_is_frozen_in_the_probes_stands_still_in_the_gallery():
    trained = mode()
    trained.backbone.norm.requires_grad_(False)
    trained.train()
    assert not trained.backbone.norm.training and not trained.gallery.network.norm.training
    assert mode().eval().gallery.network.norm.training is False


def test_the_loss_compares_each_image_with_the_other_ones_gallery():
    trained = mode()
    trained.backbone.dropout.p = 0.0
    head, probes, gallery = (copy.deepcopy(part) for part in (trained.head, trained.backbone, trained.gallery))
    images, labels, samples = pairs()
    first, second, people = images[0::2], images[1::2], labels[0::2]

    found = trained(images, labels, samples)["prototype"]

    wanted = (
        head.queue(probes(first), gallery(second), people) + head.queue(probes(second), gallery(first), people)
    ) / 2
    torch.testing.assert_close(found, wanted)
    stored = trained.head.queue.queue[: len(people)]
    either = [prototype.split(gallery(kind))[0] for kind in (first, second)]
    assert any(torch.allclose(stored, kind, atol=1e-6) for kind in either)
    assert trained.head.queue.identities[:7].tolist() == [*people.tolist(), -1]


def test_the_queue_takes_any_batch_size_and_survives_a_restart():
    trained, resumed = mode(queue=9), mode(queue=9)
    step(trained)
    resumed.load_state_dict(trained.state_dict())
    assert resumed.head.queue.index == 6
    for either in (trained, resumed):
        torch.manual_seed(5)
        step(either)
    assert trained.head.queue.index == 3
    left, right = trained.state_dict(), resumed.state_dict()
    assert all(torch.equal(left[name], right[name]) for name in left)


def test_a_batch_without_pairs_is_refused():
    images, labels, samples = pairs()
    with pytest.raises(InputError, match=r"two of each identity; write data.sampler = 'pairs:exclude=32'"):
        mode()(images, labels.flip(0).roll(1), samples)
    with pytest.raises(InputError, match="side by side"):
        mode()(images[:-1], labels[:-1], samples[:-1])


def test_a_pair_with_a_replaced_photo_is_left_out():
    labels = pairs()[1]
    labels[5] = 0
    found = groups(labels, 2, lambda pair: pair[:, 0] == pair[:, 1], "")
    assert found.tolist() == [[0, 1], [2, 3], [6, 7], [8, 9], [10, 11]]


def test_one_pair_that_is_left_is_too_few_for_the_statistics_of_a_batch():
    labels = torch.tensor([0, 0, 1, 1])
    wanted = "two of each identity"
    assert len(groups(labels, 2, lambda found: found[:, 0] == found[:, 1], wanted)) == 2
    labels[3] = 7  # another photo stands in for one that could not be read
    with pytest.raises(InputError, match=r"1 group of 2 images is too few for a process; raise data\.batch_size"):
        groups(labels, 2, lambda found: found[:, 0] == found[:, 1], wanted)


def test_a_group_of_two_sets_holds_an_identity_of_each():
    sets, people = torch.tensor([0, 0, 0, 1, 1, 1]), torch.tensor([0, 1, 2, 0, 1, 2])
    labels = torch.tensor([0, 0, 4, 4, 1, 1, 4, 4, 2, 2, 5, 5, 5, 5, 2, 2, 1, 0, 4, 4])
    assert branches(labels, sets, 2, "").tolist() == [[[0, 1], [2, 3]], [[4, 5], [6, 7]], [[8, 9], [10, 11]]]
    assert branches(labels[:12], sets, 2, "", people).tolist() == [[[4, 5], [6, 7]], [[8, 9], [10, 11]]]
    with pytest.raises(InputError, match="side by side"):
        branches(labels[12:], sets, 2, "")


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_a_decay_that_is_none_is_refused(decay):
    with pytest.raises(InputError, match="decay is"):
        GalleryNetwork(Network(), decay)
