"""Label spaces: classes of several sets in one head, as if each set had a head of its own."""

import pytest
import torch

from facezoo.heads import create_head
from facezoo.registry import HEADS, LOSSES
from facezoo.types import InputError

FIRST, SECOND, DIM = 5, 8, 6
SPACES = [0] * FIRST + [1] * SECOND

# What a margin counts over the batch (its state, a rank in the batch) is counted over all sets, and the number of
# classes is that of all: the others know their own row only.
ROW_BY_ROW = sorted(
    set(HEADS.names()) - {"adacos", "adaface", "adamsoftmax", "curricularface", "cifp", "elasticarc", "elasticcos"}
)


def batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(12, DIM, generator=generator, dtype=torch.float64) * 10
    return embeddings, torch.randint(FIRST + SECOND, (12,), generator=generator)


def both(spec: str, loss: str, **options):
    """One head over two spaces, a head for each of them with the same centres, and the loss of each."""
    together = create_head(spec, DIM, FIRST + SECOND, loss, spaces=SPACES, **options).double()
    embeddings, labels = batch()
    alone = []
    for start, stop in ((0, FIRST), (FIRST, FIRST + SECOND)):
        head = create_head(spec, DIM, stop - start, loss, **options).double()
        head.weight.data.copy_(together.weight.data[start:stop])
        for name in getattr(head.margin, "per_class", ()):
            getattr(head.margin, name).data.copy_(getattr(together.margin, name).data[start:stop])
        rows = (labels >= start) & (labels < stop)
        alone.append((head, head(embeddings[rows], labels[rows] - start)["classification"] * rows.sum() / 12))
    return together, alone, embeddings, labels


CASES = [
    *((name, "cross_entropy", sub_centres) for name in ROW_BY_ROW for sub_centres in (1, 2)),
    *(("cosface:scale=8", loss, 1) for loss in ("cross_entropy", "label_smoothing", "focal", "uniface:start=2")),
]


@pytest.mark.parametrize(("spec", "loss", "sub_centres"), CASES)
def test_one_head_over_two_spaces_is_two_heads(spec, loss, sub_centres):
    torch.manual_seed(0)
    together, alone, embeddings, labels = both(spec, loss, sub_centres=sub_centres)
    value = together(embeddings, labels)["classification"]
    value.backward()
    expected = sum(part for _, part in alone)
    expected.backward()

    torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(together.weight.grad, torch.cat([head.weight.grad for head, _ in alone]))


@pytest.mark.parametrize("sample_rate", [1, 0.9])
@pytest.mark.parametrize(
    ("spec", "loss"),
    [*((name, "cross_entropy") for name in HEADS.names()), *(("cosface", name) for name in LOSSES.names())],
)
def test_a_sample_leaves_the_classes_of_other_spaces_alone(spec, loss, sample_rate):
    torch.manual_seed(0)
    head = create_head(spec, DIM, FIRST + SECOND, loss, spaces=SPACES, sample_rate=sample_rate).double()
    embeddings, labels = batch()
    losses = head(embeddings.requires_grad_(), labels % FIRST)
    sum(losses.values()).backward()
    gradient = head.weight.grad.to_dense() if head.weight.grad.is_sparse else head.weight.grad

    assert gradient[:FIRST].abs().sum() > 0 and not gradient[FIRST:].any()
    assert torch.isfinite(embeddings.grad).all()


def test_every_class_needs_a_space():
    with pytest.raises(InputError, match="3 classes have a label space, 5 must"):
        create_head("arcface", 8, 5, spaces=[0, 0, 1])


def test_spaces_are_the_data_s_and_not_in_the_state():
    assert set(create_head("arcface", 8, 3, spaces=[0, 0, 1]).state_dict()) == {"weight"}
