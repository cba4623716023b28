"""Partial FC and sub-centres under every margin: what takes part, what has a gradient."""

import pytest
import torch

from facezoo.heads import create_head
from facezoo.heads.centres import sample_rows
from facezoo.registry import HEADS, LOSSES

DIM, CLASSES, ROWS = 8, 60, 10
SPECS = [*HEADS.names(), *HEADS.presets(), "normface:learn_scale=true"]


def head_of(spec, **options):
    torch.manual_seed(0)
    return create_head(spec, DIM, CLASSES, **options)


def batch(seed=0, rows=ROWS):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (rows,), generator=generator)
    return torch.randn(rows, DIM, generator=generator) * 20, labels


def step(head, embeddings, labels):
    head.zero_grad()
    losses = head(embeddings.clone().requires_grad_(), labels)
    sum(losses.values()).backward()
    return losses


@pytest.mark.parametrize("spec", SPECS)
def test_a_sampled_step_touches_the_sampled_rows_only(spec):
    head = head_of(spec, sample_rate=0.5)
    embeddings, labels = batch()

    losses = step(head, embeddings, labels)

    gradient = head.weight.grad
    assert gradient.is_sparse
    rows, values = gradient.coalesce().indices()[0], gradient.coalesce().values()
    assert len(rows) == CLASSES // 2 and len(values) == len(rows)
    assert set(labels.tolist()) <= set(rows.tolist())
    assert values.isfinite().all() and all(loss.isfinite() for loss in losses.values())
    others = torch.ones(CLASSES, dtype=torch.bool).index_fill(0, rows, False)
    assert (gradient.to_dense()[others] == 0).all()


@pytest.mark.parametrize("spec", SPECS)
def test_positives_beyond_the_budget_all_take_part_and_nobody_else(spec):
    head = head_of(spec, sample_rate=0.05)
    embeddings, labels = batch()
    assert labels.unique().numel() > 0.05 * CLASSES

    losses = step(head, embeddings, labels)

    assert head.weight.grad.coalesce().indices()[0].tolist() == labels.unique().tolist()
    assert all(loss.isfinite() for loss in losses.values())


@pytest.mark.parametrize("spec", SPECS)
def test_a_sample_of_all_classes_is_the_full_step(spec, monkeypatch):
    embeddings, labels = batch()
    full, sampled = head_of(spec), head_of(spec, sample_rate=0.5)
    monkeypatch.setattr("facezoo.heads.classifier.sample_rows", lambda count, *_: torch.arange(count))
    torch.manual_seed(1)  # some margins draw
    wanted = step(full, embeddings, labels)
    torch.manual_seed(1)
    got = step(sampled, embeddings, labels)
    torch.testing.assert_close(got, wanted)
    torch.testing.assert_close(sampled.weight.grad.to_dense(), full.weight.grad)
    for name, value in full.state_dict().items():
        torch.testing.assert_close(sampled.state_dict()[name], value)


@pytest.mark.parametrize("spec", SPECS)
def test_a_rate_of_one_samples_nothing(spec):
    head = head_of(spec, sample_rate=1.0)
    step(head, *batch())
    assert not head.weight.grad.is_sparse and len(head.weight.grad) == CLASSES


@pytest.mark.parametrize("spec", SPECS)
def test_evaluation_takes_all_classes(spec):
    head, full = head_of(spec, sample_rate=0.2).eval(), head_of(spec).eval()
    embeddings, labels = batch()
    with torch.no_grad():
        torch.manual_seed(1)
        wanted = full(embeddings, labels)
        torch.manual_seed(1)
        torch.testing.assert_close(head(embeddings, labels), wanted)


@pytest.mark.parametrize("rate", [1.0, 0.3])
@pytest.mark.parametrize("spec", SPECS)
def test_sub_centres_go_with_every_margin(spec, rate):
    head = head_of(spec, sub_centres=3, sample_rate=rate)
    assert head.weight.shape == (CLASSES, 3, DIM)
    for seed in range(3):
        losses = step(head, *batch(seed))
        assert all(loss.isfinite() for loss in losses.values())
    gradient = head.weight.grad.to_dense()
    assert gradient.isfinite().all() and gradient.any()
    assert all(buffer.isfinite().all() for buffer in head.buffers())


@pytest.mark.parametrize("spec", SPECS)
def test_equal_sub_centres_are_one_centre(spec):
    embeddings, labels = batch()
    one, three = head_of(spec), head_of(spec, sub_centres=3)
    for name, value in one.margin.state_dict().items():
        three.margin.state_dict()[name].copy_(value)
    three.weight.data = one.weight.data[:, None].expand(-1, 3, -1).clone()
    torch.manual_seed(1)
    wanted = one(embeddings, labels)
    torch.manual_seed(1)
    torch.testing.assert_close(three(embeddings, labels), wanted)


@pytest.mark.parametrize("loss", LOSSES.names())
def test_every_loss_takes_sampled_columns(loss):
    losses = step(head_of("cosface:scale=8", loss=loss, sample_rate=0.2), *batch())
    assert all(value.isfinite() for value in losses.values())


@pytest.mark.parametrize("wanted", [1, 5, 12, 40, 59, 60])
def test_a_sample_is_sorted_distinct_and_holds_the_positives(wanted):
    torch.manual_seed(0)
    positives = torch.tensor([2, 3, 17, 30, 59])
    rows = sample_rows(60, wanted, positives)
    assert len(rows) == max(wanted, len(positives))
    assert (rows.diff() > 0).all() and rows[0] >= 0 and rows[-1] < 60
    assert torch.isin(positives, rows).all()


def test_every_other_class_is_as_likely_as_any():
    torch.manual_seed(0)
    positives, draws = torch.tensor([4, 11]), 4000
    counts = torch.zeros(40)
    for _ in range(draws):
        counts[sample_rows(40, 10, positives)] += 1
    assert (counts[positives] == draws).all()
    others = torch.ones(40, dtype=torch.bool).index_fill(0, positives, False)
    expected = draws * 8 / 38
    assert ((counts[others] - expected).abs() < 5 * expected**0.5).all()


@pytest.mark.parametrize("rate", [0.3, 0.5])
def test_adacos_scales_its_sampled_negatives_up_to_all_classes(rate):
    """The sum over a sample, scaled up, is near the sum over all classes; as it is it would fall short by ln(rate)."""
    full, sampled = (head_of("adacos", sample_rate=share) for share in (1.0, rate))
    embeddings, labels = batch(rows=6)
    full(embeddings, labels)
    found = []
    for seed in range(40):
        torch.manual_seed(seed)
        sampled.margin.scale.copy_(head_of("adacos").margin.scale)
        torch.manual_seed(seed)
        sampled(embeddings, labels)
        found.append(sampled.margin.scale.clone())
    assert torch.stack(found).mean().item() == pytest.approx(full.margin.scale.item(), rel=0.03)
