"""Distillation losses against slow formulas in float64, at their edges, and what all of them keep."""

import importlib.util
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from facezoo.distillation import create_distillation, rkd
from facezoo.registry import DISTILLATION_LOSSES, EMBEDDING_LOSSES
from facezoo.types import InputError

SCRIPT = Path(__file__).parent / "ranks.py"
SPEC = importlib.util.spec_from_file_location("facezoo_test_distillation_losses", SCRIPT)
ranks = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(ranks)

create, drawn = ranks.create, ranks.drawn
WHOLE = slice(0, ranks.ROWS)


# What every loss keeps.


def same(name):
    """Inputs in which student and teacher agree, and the loss of them."""
    loss = create_distillation([name], student_maps=ranks.STAGES, teacher_maps=ranks.STAGES).double()[name]
    labels = torch.arange(8) % 3
    if loss.sees == "embeddings":
        student = drawn(0, 8, 6).requires_grad_()
        return student, loss(student, student.detach(), labels)
    if loss.sees == "logits":
        student = drawn(0, 8, 6).requires_grad_()
        return student, loss(student, student.detach())
    student = [drawn(k, 8, *shape).requires_grad_() for k, shape in enumerate(ranks.STAGES)]
    return student[-1], loss(student, [maps.detach() for maps in student])


LEARNT = ("ft", "darkrank")  # factors are learnt before they agree; an order is never certain


@pytest.mark.parametrize("name", sorted({*DISTILLATION_LOSSES.names()} - {*LEARNT}))
def test_a_student_that_agrees_has_nothing_to_learn(name):
    student, value = same(name)
    value.backward()
    assert abs(value.item()) < 1e-5  # AT's distance has its root kept off 0
    assert torch.isfinite(student.grad).all()
    assert student.grad.abs().max() < 1e-6


@pytest.mark.parametrize("name", DISTILLATION_LOSSES.names())
def test_the_gradient_goes_to_the_student_alone(name):
    value, inputs, teacher = ranks.value(create(name), 0, WHOLE)
    assert value.dim() == 0
    value.backward()
    assert inputs
    assert all(torch.isfinite(tensor.grad).all() and tensor.grad.any() for tensor in inputs.values())
    assert all(tensor.grad is None for tensor in teacher)


@pytest.mark.parametrize("name", DISTILLATION_LOSSES.names())
def test_the_weight_is_a_factor(name):
    torch.manual_seed(0)
    one = ranks.value(create(name), 1, WHOLE)[0]
    torch.manual_seed(0)
    three = ranks.value(create(f"{name}:weight=3"), 1, WHOLE)[0]
    torch.testing.assert_close(three, 3 * one)


def test_no_name_is_that_of_an_embedding_loss_too():
    assert not {*DISTILLATION_LOSSES.names()} & {*EMBEDDING_LOSSES.names(), "classification", "penalty"}


@pytest.mark.parametrize("name", DISTILLATION_LOSSES.names())
def test_formulas_and_papers_are_stated(name):
    factory = DISTILLATION_LOSSES.factory(name)
    assert factory.formula
    assert factory.sees in ("embeddings", "logits", "maps")
    assert "http" in factory.__doc__ or name in ("cosine", "mse", "sp")


@pytest.mark.parametrize("name", DISTILLATION_LOSSES.names())
def test_a_weight_that_is_no_factor_is_refused(name):
    with pytest.raises(InputError, match="weight"):
        create(f"{name}:weight=-1")


@pytest.mark.parametrize(
    "spec",
    [
        "soft_target:temperature=0",
        "rkd:distance=0,angle=0",
        "cc:order=0",
        "darkrank:length=1",
        "ekd:momentum=0",
        "ekd:hardest=0",
        "ekd:start=random",
        "ft:rate=0",
        "nst:kernel=cubic",
    ],
)
def test_options_without_sense_are_refused(spec):
    with pytest.raises(InputError, match=spec.partition(":")[0]):
        create(spec)


# Slow formulas.


def test_attention_transfer_is_the_paper_formula():
    student, teacher = ([drawn(seed + k, 3, *shape) for k, shape in enumerate(ranks.STAGES)] for seed in (0, 5))
    wanted = 0.0
    for own, target in zip(student, teacher):
        for image in range(3):
            q = [sum(maps[image, c] ** 2 for c in range(len(maps[image]))).flatten() for maps in (own, target)]
            q = [values / values.norm() for values in q]
            wanted += (q[0] - q[1]).norm() / 3
    torch.testing.assert_close(create("at")(student, teacher), wanted / 2)


@pytest.mark.parametrize("kernel", ["linear", "polynomial", "gaussian"])
def test_neuron_selectivity_is_the_paper_formula(kernel):
    student, teacher = drawn(0, 2, 5, 4, 4), drawn(1, 2, 3, 4, 4)
    wanted = 0.0
    for image in range(2):
        own = [channel.flatten() / channel.norm() for channel in student[image]]
        target = [channel.flatten() / channel.norm() for channel in teacher[image]]
        width = np.mean([float((t - s).square().sum()) for t in target for s in own])

        def k(x, y, width=width):
            if kernel == "gaussian":
                return math.exp(-float((x - y).square().sum()) / (2 * width))
            return float(x @ y) ** (1 if kernel == "linear" else 2)

        means = [np.mean([k(x, y) for x in a for y in b]) for a, b in ((target, target), (own, own), (target, own))]
        wanted += (means[0] + means[1] - 2 * means[2]) / 2 / len(student)
    found = create_distillation([f"nst:kernel={kernel}"])["nst"]([student], [teacher])
    assert float(found) == pytest.approx(wanted, rel=1e-6 if kernel == "gaussian" else 1e-12)


@pytest.mark.parametrize("kernel", ["linear", "polynomial", "gaussian"])
def test_dead_channels_are_points_at_nought_without_gradient(kernel):
    student, teacher = drawn(0, 2, 5, 4, 4), drawn(1, 2, 3, 4, 4)
    student[:, 1:3], teacher[:, 0] = 0, 0
    student.requires_grad_()
    loss = create_distillation([f"nst:kernel={kernel}"])["nst"]
    found = loss([student], [teacher])
    found.backward()

    wanted = 0.0
    for s, t in zip(student.detach().flatten(2), teacher.flatten(2), strict=True):
        own, target = (rows / rows.norm(dim=1, keepdim=True).clamp(min=1e-9) for rows in (s, t))
        width = torch.cdist(target, own).square().mean()
        kernels = {
            "linear": lambda x, y: x @ y.T,
            "polynomial": lambda x, y: (x @ y.T).square(),
            "gaussian": lambda x, y, width=width: (-torch.cdist(x, y).square() / (2 * width)).exp(),
        }
        k = kernels[kernel]
        wanted += (k(target, target).mean() + k(own, own).mean() - 2 * k(target, own).mean()) / 4
    torch.testing.assert_close(found.detach(), torch.as_tensor(wanted), rtol=1e-6, atol=1e-9)
    assert student.grad.isfinite().all() and not student.grad[:, 1:3].any() and student.grad.any()

    same = loss([teacher], [teacher])
    assert same.abs() < 1e-12


def test_maps_of_other_sizes_are_averaged_down():
    student, teacher = drawn(0, 2, 5, 8, 8), drawn(1, 2, 5, 4, 4)
    small = student.unflatten(3, (4, 2)).unflatten(2, (4, 2)).mean((3, 5))
    maps = {"student_maps": [(5, 8, 8)], "teacher_maps": [(5, 4, 4)]}
    found = create_distillation(["fitnet"], **maps)["fitnet"]([student], [teacher])
    torch.testing.assert_close(found, (small - teacher).square().mean())


def test_similarity_of_maps_is_the_paper_formula():
    student, teacher = drawn(0, 5, 3, 4, 4), drawn(1, 5, 6, 2, 2)
    wanted = 0.0
    rows = []
    for maps in (student, teacher):
        products = np.array([[float((a * b).sum()) for b in maps] for a in maps])
        rows.append(products / np.linalg.norm(products, axis=1, keepdims=True))
    wanted = ((rows[0] - rows[1]) ** 2).sum() / 25
    found = create_distillation(["sp_maps"])["sp_maps"]([student], [teacher])
    assert float(found) == pytest.approx(wanted, rel=1e-12)


def test_dark_rank_is_the_likelihood_of_an_order():
    student, teacher = drawn(0, 5, 4), drawn(1, 5, 7)
    wanted = 0.0
    own, target = (x / x.norm(dim=1, keepdim=True) for x in (student, teacher))
    for i in range(5):
        others = sorted((j for j in range(5) if j != i), key=lambda j, i=i: float((target[i] - target[j]).norm()))[:3]
        scores = [-3 * float((own[i] - own[j]).norm()) ** 3 for j in others]
        for place in range(3):
            wanted -= scores[place] - math.log(sum(math.exp(score) for score in scores[place:]))
    assert float(create("darkrank")(student, teacher, torch.zeros(5))) == pytest.approx(wanted / 5, rel=1e-9)


def test_angles_in_blocks_are_those_at_once(monkeypatch):
    def angles():
        student = drawn(0, 9, 4).requires_grad_()
        value = create("rkd:distance=0")(student, drawn(1, 9, 6), torch.zeros(9))
        value.backward()
        return value.detach(), student.grad

    whole = angles()
    monkeypatch.setattr(rkd, "BLOCK", 300)  # two images at a time
    for once, blocks in zip(whole, angles()):
        torch.testing.assert_close(blocks, once)


def test_classes_of_other_spaces_teach_nothing():
    """Logits of -inf are no classes: the loss is that of the others."""
    student, teacher = drawn(0, 4, 6).requires_grad_(), drawn(1, 4, 6)
    closed = torch.zeros(4, 6, dtype=torch.bool)
    closed[:, 4:] = True
    for name in ("soft_target", "snn_mimic"):
        found = create(name)(student.masked_fill(closed, -torch.inf), teacher.masked_fill(closed, -torch.inf))
        torch.testing.assert_close(found, create(name)(student[:, :4], teacher[:, :4]))
        (gradient,) = torch.autograd.grad(found, student)
        assert torch.isfinite(gradient).all()
        assert not gradient[:, 4:].any()


# EKD.


@pytest.mark.parametrize("rows", [1, 2, 3, 5])
def test_small_batches_have_thresholds_too(rows):
    """Fewer pairs than a rate asks for; none at all of one person, or of different ones."""
    for labels in (torch.arange(rows), torch.zeros(rows, dtype=torch.long)):
        loss = create("ekd")
        student = drawn(0, rows, 4).requires_grad_()
        value = loss(student, drawn(1, rows, 4), labels)
        value.backward()
        assert torch.isfinite(value)
        assert torch.isfinite(student.grad).all()


def test_thresholds_start_from_the_first_batch_and_rest_in_evaluation():
    loss = create("ekd:momentum=0.25")
    teacher, labels = drawn(1, 6, 4), torch.arange(6) // 2
    batches = [drawn(seed, 6, 4) for seed in (2, 3)]

    def hardest(x):
        x = x / x.norm(dim=1, keepdim=True)
        pairs = sorted((float(x[i] @ x[j]) for i, j in itertools.combinations(range(6), 2) if i // 2 != j // 2))[::-1]
        return torch.tensor([pairs[len(pairs) // rate] for rate in (10, 100, 1000)], dtype=torch.float64)

    loss(batches[0], teacher, labels)
    torch.testing.assert_close(loss.student_anchors[:3], hardest(batches[0]))
    loss(batches[1], teacher, labels)
    moved = 0.75 * hardest(batches[0]) + 0.25 * hardest(batches[1])
    torch.testing.assert_close(loss.student_anchors[:3], moved)
    torch.testing.assert_close(loss.teacher_anchors[:3], hardest(teacher))
    loss.eval()(batches[0], teacher, labels)
    torch.testing.assert_close(loss.student_anchors[:3], moved)


def test_a_centred_cosine_takes_off_the_mean_of_all_the_teacher_has_shown():
    torch.manual_seed(0)
    common = 4 * torch.randn(6, dtype=torch.float64)
    shown = [torch.randn(count, 6, dtype=torch.float64) + common for count in (5, 3)]
    student = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
    loss = create_distillation(["cosine:centred=true,weight=2"], embedding_dim=6).double()["cosine"]

    loss(torch.randn(5, 6, dtype=torch.float64), shown[0], torch.arange(5))
    found = loss(student, shown[1], torch.arange(3))

    directions = [teacher / teacher.norm(dim=1, keepdim=True) for teacher in shown]
    mean = torch.cat(directions).mean(0)
    wanted = 2 - 2 * sum(torch.cosine_similarity(s, t - mean, dim=0) for s, t in zip(student, directions[1])) / 3
    torch.testing.assert_close(found, wanted)
    still = loss.eval()(student, shown[1], torch.arange(3))
    torch.testing.assert_close(still, wanted)
    torch.testing.assert_close(loss.mean, mean)


def test_they_are_listed_with_formula_options_and_presets(run):
    out = run("list", "distillation-losses")[1]
    assert "soft_target" in out
    assert "T^2 mean_i KL(softmax(t_i / T) || softmax(s_i / T))" in out
    assert ":temperature=4.0, weight=1.0" in out
    assert "ekd@tface = ekd:start=zero" in out
    assert "maps" not in out.partition("    fsp:")[2].partition("\n")[0]
    assert "embedding_dim" not in out
