"""State is real state: saved, resumed, moved by training only."""

import copy

import pytest
import torch
import torch.nn.functional as F

from facezoo.heads import create_head
from facezoo.registry import HEADS

DIM, CLASSES, ROWS, STEPS = 8, 7, 12, 50
SPECS = [*HEADS.names(), *HEADS.presets(), "normface:learn_scale=true"]
BUFFERS = {"adacos": "scale", "curricularface": "t", "sphereface": "iteration"}


def head_of(spec):
    torch.manual_seed(0)
    return create_head(spec, DIM, CLASSES)


def optimizer_of(head):
    return torch.optim.SGD(head.parameters(), lr=0.01, momentum=0.9)


def batch(step):
    generator = torch.Generator().manual_seed(step)
    labels = torch.randint(CLASSES, (ROWS,), generator=generator)
    return torch.randn(ROWS, DIM, generator=generator) * 20, labels


def train(head, optimizer, steps):
    for step in steps:
        torch.manual_seed(step)  # some margins draw
        optimizer.zero_grad()
        sum(head(*batch(step)).values()).backward()
        optimizer.step()


@pytest.mark.parametrize("spec", SPECS)
def test_saved_and_resumed_is_as_if_nothing_had_happened(spec, tmp_path):
    head = head_of(spec)
    optimizer = optimizer_of(head)
    train(head, optimizer, range(STEPS))
    torch.save([head.state_dict(), optimizer.state_dict()], tmp_path / "state.pt")
    train(head, optimizer, range(STEPS, STEPS + 5))

    torch.manual_seed(1)
    resumed = create_head(spec, DIM, CLASSES)
    again = optimizer_of(resumed)
    state, momentum = torch.load(tmp_path / "state.pt", weights_only=True)
    resumed.load_state_dict(state)
    again.load_state_dict(momentum)
    train(resumed, again, range(STEPS, STEPS + 5))

    assert resumed.state_dict().keys() == head.state_dict().keys()
    for name, value in head.state_dict().items():
        assert value.isfinite().all()
        assert torch.equal(resumed.state_dict()[name], value), name


@pytest.mark.parametrize("spec", SPECS)
def test_evaluation_leaves_the_state_alone(spec):
    head = head_of(spec)
    train(head, optimizer_of(head), range(3))
    head.eval()
    before = copy.deepcopy(head.state_dict())
    with torch.no_grad():
        head(*batch(9))
    assert all(torch.equal(value, before[name]) for name, value in head.state_dict().items())


@pytest.mark.parametrize(("spec", "buffer"), BUFFERS.items())
def test_training_moves_the_state(spec, buffer):
    head = head_of(spec)
    before = getattr(head.margin, buffer).clone()
    head(*batch(0))
    assert not torch.equal(getattr(head.margin, buffer), before)
    assert f"margin.{buffer}" in head.state_dict()


@pytest.mark.parametrize("spec", SPECS)
def test_two_batches_before_one_backward_pass_give_both_gradients(spec):
    """As in gradient accumulation over losses: the second batch's state does not spoil the first one's graph."""
    head = head_of(spec)
    inputs = [batch(step)[0].requires_grad_() for step in range(2)]
    losses = [sum(head(own, batch(step)[1]).values()) for step, own in enumerate(inputs)]
    sum(losses).backward()
    assert all(own.grad.isfinite().all() and own.grad.any() for own in inputs)


@pytest.mark.parametrize("spec", HEADS.names())
def test_a_head_learns_separable_identities(spec):
    """A network of one layer and the head: the nearest centre is the right one in nearly all rows, by chance in one of
    seven."""
    torch.manual_seed(0)
    people = torch.randn(CLASSES, 32)
    labels = torch.arange(CLASSES).repeat(12)
    photos = people[labels] + 0.3 * torch.randn(len(labels), 32)
    network, head = torch.nn.Linear(32, 16), create_head(spec, 16, CLASSES)
    optimizer = torch.optim.Adam([*network.parameters(), *head.parameters()], lr=0.01)
    for _ in range(80):
        optimizer.zero_grad()
        sum(head(network(photos), labels).values()).backward()
        optimizer.step()
    with torch.no_grad():
        nearest = (F.normalize(network(photos)) @ F.normalize(head.weight).T).argmax(1)
    assert (nearest == labels).float().mean() > 0.9
