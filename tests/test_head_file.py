"""Heads as files: what a run saved, with classes added, removed and merged, starts another run."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from facezoo.head_file import HeadFile
from facezoo.heads import create_head
from facezoo.types import InputError


@pytest.fixture
def head() -> HeadFile:
    torch.manual_seed(0)
    return HeadFile("cosface", ["ada", "bob", "cy", "dee"], torch.randn(4, 6))


@pytest.fixture
def adaptive() -> HeadFile:
    """AdaM-Softmax has a margin of its own for each class."""
    margin = {"margins": torch.tensor([0.1, 0.2, 0.3, 0.4])}
    return HeadFile("adamsoftmax", ["ada", "bob", "cy", "dee"], torch.eye(4), margin)


def test_a_head_file_comes_back_as_it_was(head, tmp_path):
    head.write(tmp_path / "head.safetensors")
    back = HeadFile.read(tmp_path / "head.safetensors")
    assert (back.spec, back.classes) == ("cosface", head.classes)
    assert torch.equal(back.weight, head.weight)


def test_removed_classes_are_gone_and_the_others_stay(head):
    less = head.remove(["bob", "dee"])
    assert less.classes == ["ada", "cy"]
    assert torch.equal(less.weight, head.weight[[0, 2]])


def test_merged_classes_point_to_the_mean_of_their_directions(head):
    merged = head.merge(["dee", "bob"], "bobby")
    assert merged.classes == ["ada", "cy", "bobby"]
    rows = head.weight[[3, 1]]
    wanted = torch.nn.functional.normalize(rows, dim=1).mean(0)
    assert torch.cosine_similarity(merged.weight[2], wanted, dim=0) > 1 - 1e-6
    torch.testing.assert_close(merged.weight[2].norm(), rows.norm(dim=1).mean())


def test_added_classes_come_last_and_are_as_long_as_the_others(head):
    more = head.add(["eve", "fay"], torch.eye(6)[:2])
    assert more.classes == [*head.classes, "eve", "fay"]
    torch.testing.assert_close(more.weight[4:], torch.eye(6)[:2] * head.weight.norm(dim=1).median())
    assert torch.equal(more.weight[:4], head.weight)


def test_what_belongs_to_a_class_goes_with_it(adaptive):
    assert adaptive.remove(["ada"]).margin["margins"].tolist() == pytest.approx([0.2, 0.3, 0.4])
    assert adaptive.merge(["ada", "cy"], "ada").margin["margins"].tolist() == pytest.approx([0.2, 0.2, 0.4])
    assert len(adaptive.add(["eve"]).margin["margins"]) == 5


def test_sub_centres_stay_together():
    head = HeadFile("arcface", ["ada", "bob"], torch.randn(2, 3, 5))
    assert head.remove(["ada"]).weight.shape == (1, 3, 5)
    assert head.merge(["ada", "bob"], "both").weight.shape == (1, 3, 5)
    assert head.add(["cy"], torch.randn(1, 5)).weight.shape == (3, 3, 5)


def test_a_classifier_takes_the_centres_of_the_names_it_shares(head):
    classifier = create_head("cosface", 6, 3)
    before = classifier.weight.detach().clone()
    head.fill(classifier, ["dee", "eve", "ada"])
    assert torch.equal(classifier.weight[0], head.weight[3]) and torch.equal(classifier.weight[2], head.weight[0])
    assert torch.equal(classifier.weight[1], before[1])


def test_margins_of_classes_are_filled_too(adaptive):
    classifier = create_head("adamsoftmax", 4, 2)
    adaptive.fill(classifier, ["eve", "cy"])
    assert classifier.margin.margins[1].item() == pytest.approx(0.3)


@pytest.mark.parametrize("fixed", ["false", "true"])
def test_adacos_heads_grow_and_start_another_run(fixed):
    spec = f"adacos:fixed={fixed}"
    source = create_head(spec, 4, 3)
    head = HeadFile(spec, ["ada", "bob", "cy"], source.weight.detach(), source.margin.state_dict())
    more = head.add(["dee"])
    fresh = create_head(spec, 4, 4)
    wanted = fresh.margin.scale.clone() if fixed == "true" else source.margin.scale
    more.fill(fresh, more.classes)
    assert torch.equal(fresh.margin.scale, wanted)


def test_added_classes_get_the_margins_of_new_ones(adaptive):
    added = adaptive.add(["eve", "fay"]).margin["margins"]
    assert added[:4].equal(adaptive.margin["margins"]) and ((added[4:] >= 0.3) & (added[4:] <= 0.4)).all()


@pytest.mark.parametrize(("spec", "goes_along"), [("curricularface@tface", True), ("arcface", False)])
def test_what_a_margin_counted_goes_along_to_one_of_its_kind(spec, goes_along):
    head = HeadFile("curricularface", ["ada", "bob"], torch.eye(2), {"t": torch.tensor([0.7])})
    classifier = create_head(spec, 2, 3)
    head.fill(classifier, ["ada", "bob", "cy"])
    assert classifier.margin.state_dict() == ({"t": torch.tensor([0.7])} if goes_along else {})


def test_a_scale_of_adacos_is_not_that_of_normface():
    head = HeadFile("adacos", ["ada", "bob", "cy"], torch.eye(3), {"scale": torch.tensor(3.0)})
    classifier = create_head("normface:learn_scale=true", 3, 3)
    head.fill(classifier, head.classes)
    assert classifier.margin.scale.item() == 64


def test_what_a_loss_learnt_is_in_the_file_and_goes_along(tmp_path):
    learnt = {"bias": torch.tensor(2.5)}
    head = HeadFile("cosface", ["ada", "bob"], torch.eye(2), {}, "uniface:negative_weight=2", learnt)
    head.write(tmp_path / "head.safetensors")
    back = HeadFile.read(tmp_path / "head.safetensors")
    assert (back.loss, back.loss_state, back.margin) == (head.loss, learnt, {})
    same, other = create_head("cosface", 2, 2, "uniface"), create_head("cosface", 2, 2, "focal")
    for classifier in (same, other):
        back.fill(classifier, ["ada", "bob"])
    assert same.loss.bias.item() == 2.5


def test_a_file_without_a_loss_starts_a_run_with_any(head, tmp_path):
    head.write(tmp_path / "head.safetensors")
    back = HeadFile.read(tmp_path / "head.safetensors")
    classifier = create_head("cosface", 6, 2, "uniface:start=4")
    back.fill(classifier, ["ada", "bob"])
    assert classifier.loss.bias.item() == 4


def test_a_head_that_names_a_class_twice_is_not_written(tmp_path):
    with pytest.raises(InputError, match="class 'ada' is named twice"):
        HeadFile("cosface", ["ada", "ada"], torch.eye(2)).write(tmp_path / "head.safetensors")
    with pytest.raises(InputError, match="2 centres and 1 names"):
        HeadFile("cosface", ["ada"], torch.eye(2)).write(tmp_path / "head.safetensors")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda head: head.add(["eve", "eve"]), "class 'eve' is named twice"),
        (lambda head: head.merge(["ada", "ada", "bob"], "ada"), "class 'ada' is named twice"),
        (lambda head: head.remove(["ada", "ada"]), "class 'ada' is named twice"),
        (lambda head: head.remove(["eve"]), "the head has no class 'eve'"),
        (lambda head: head.remove(head.classes), "every class would be removed"),
        (lambda head: head.merge(["ada"], "x"), "at least two different classes"),
        (lambda head: head.merge(["ada", "bob"], "cy"), "another class 'cy'"),
        (lambda head: head.add(["ada"]), "a class 'ada' already"),
        (lambda head: head.add(["eve"], torch.ones(1, 3)), "the centres have 6 dimensions, the embeddings 3"),
        (lambda head: head.fill(create_head("cosface", 5, 2), ["ada", "bob"]), "the run has 1 of 5"),
        (lambda head: head.fill(create_head("cosface", 6, 2), ["x", "y"]), "none of the data's 2 classes"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(head, change, says):
    with pytest.raises(InputError) as error:
        change(head)
    assert says in str(error.value)


@pytest.mark.parametrize(("name", "says"), [("none.safetensors", "no such file"), ("", "not a run folder")])
def test_what_is_no_head_is_refused(tmp_path, name, says):
    with pytest.raises(InputError, match=says):
        HeadFile.read(tmp_path / name)


def test_commands_change_a_head_file(head, run, tmp_path):
    source, out = tmp_path / "head.safetensors", tmp_path / "new.safetensors"
    head.write(source)
    assert run("head", "remove", source, out, "--classes", "ada", "cy")[0] == 0
    assert HeadFile.read(out).classes == ["bob", "dee"]
    assert run("head", "merge", source, out, "--into", "both", "--classes", "ada", "cy")[0] == 0
    assert HeadFile.read(out).classes == ["both", "bob", "dee"]
    (tmp_path / "names.txt").write_text("eve\nfay\n")
    code, printed, _ = run("head", "add", source, out, "--listed", tmp_path / "names.txt")
    assert code == 0 and "6 classes of 6 dimensions" in printed
    code, printed, _ = run("head", "info", out, "--names")
    assert code == 0 and printed.splitlines()[-1] == "fay"
    code, _, error = run("head", "remove", source, out, "--classes", "nobody")
    assert code == 2 and "the head has no class 'nobody'" in error
    assert np.array_equal(HeadFile.read(source).weight, head.weight)
