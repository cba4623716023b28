"""What the evaluators of older projects did wrong and ours must not do.

Of others the tests stand beside what they are about: lists of 3,000 pairs (test_folds, test_sets), exceeded FARs
(test_ijb), the zero vector (test_megaface), RFW's coin (test_sets), thresholds that move with the rejected share
(test_quality_curves), cut points (test_sets), mirrored faces (test_align), photos without a face (test_run).
"""

import json

import numpy as np
import pytest

from facezoo.embedder import Embedder
from facezoo.evaluation import Verification
from facezoo.evaluation.aggregation import aggregate, halves
from facezoo.evaluation.compat import if_val
from facezoo.evaluation.folds import fold_accuracy
from facezoo.evaluation.megaface import MegaFace
from facezoo.evaluation.template_verification import FARS, verify_templates
from facezoo.evaluation.verification import far_name
from facezoo.types import Contract, InputError, unit


def toy(pairs=600, noise=0.8, seed=0):
    """Scores in one order of genuine and impostor pairs, and which is which."""
    rng = np.random.default_rng(seed)
    same = np.arange(pairs) % 2 == 0
    return same + noise * rng.normal(size=pairs), same


def test_no_threshold_is_chosen_on_the_pairs_that_it_is_tested_on():
    """TFace's security metrics choose it on the test set."""
    scores, same = toy()
    moved = scores.copy()
    moved[:60] += 5  # the first of ten folds
    before, after = fold_accuracy(scores, same), fold_accuracy(moved, same)
    assert after.thresholds[0] == before.thresholds[0]
    assert (after.thresholds[1:] != before.thresholds[1:]).any()
    assert after.accuracies[0] == 0.5  # all of them accepted


@pytest.mark.parametrize("color", ["rgb", "bgr"])
@pytest.mark.parametrize("batch_size", [1, 3, 4, 8])
def test_the_last_partial_batch_has_the_colours_of_the_others(color, batch_size):
    """face.evoLVe leaves it in RGB while the others are turned."""

    class Means(Embedder):
        def forward(self, batch):
            return batch.mean(axis=(2, 3))

    crops = list(np.random.default_rng(0).integers(0, 256, (7, 6, 6, 3), dtype=np.uint8))
    contract = Contract("means", (6, 6), color=color, embedding_dim=3, flip=False)
    wanted = np.stack([(crop.astype(float) - 127.5).mean(axis=(0, 1)) / 127.5 for crop in crops])
    found = Means(contract, batch_size)(crops)
    assert found == pytest.approx(wanted if color == "rgb" else wanted[:, ::-1], abs=1e-6)


@pytest.mark.parametrize("noise", ["drop", "centre", "zero", "push"])
def test_noise_is_removed_from_embeddings_of_any_width(noise):
    """FaceX-Zoo writes 512 into it and fails on two embeddings side by side; ranks are those of one of them."""
    rng = np.random.default_rng(0)
    identity = np.repeat(np.arange(8), 4)
    one = unit(np.concatenate([rng.normal(size=(8, 512))[identity] + rng.normal(size=(32, 512)) * 4,
                               rng.normal(size=(300, 512))]))  # fmt: skip
    benchmark = MegaFace("toy", [], identity, 300, noisy=np.arange(332) % 11 == 0, noise=noise, resamples=0)
    single = benchmark.score(one).metrics
    double = benchmark.score(np.concatenate([one, one], axis=1)).metrics
    assert 0 < single["rank1"] < 1
    assert double == pytest.approx(single)


@pytest.mark.parametrize(("flip", "counts"), [("off", False), ("add", True), ("concat", True)])
def test_the_embedding_of_the_mirror_image_counts_where_it_is_said_to(flip, counts):
    """TFace computes the second half and throws it away."""
    embeddings, other = np.random.default_rng(0).normal(size=(2, 4, 16))
    other[:, :8] = embeddings[:, :8]
    before, after = (aggregate(halves(each, flip), [0, 0, 1, 1])[1] for each in (embeddings, other))
    assert np.allclose(before, after) != counts


@pytest.mark.parametrize(("norm", "counts"), [("keep", True), ("unit", False)])
def test_norm_does_what_it_says(norm, counts):
    """The flag of insightface's script normalises where it promises to keep the norm."""
    embeddings = np.random.default_rng(0).normal(size=(4, 8))
    longer = embeddings * np.array([[5.0], [1], [1], [1]])
    before, after = (aggregate(each, [0, 0, 1, 1], norm=norm)[1] for each in (embeddings, longer))
    assert np.allclose(before[0], after[0]) != counts
    assert np.allclose(before[1], after[1])


def test_columns_stand_below_their_far():
    """FaceX-Zoo prints TAR at 1e-6 below the head of 1e-1."""
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(60), 2)
    vectors = unit(rng.normal(size=(60, 8))[person] + rng.normal(size=(120, 8)))
    left, right = np.triu_indices(120, 1)
    same = person[left] == person[right]
    report = verify_templates(vectors, np.zeros(120, bool), left, right, same, [], resamples=0)
    scores = (vectors[left] * vectors[right]).sum(axis=1).astype(np.float32)
    head, *rows = report.tables["TAR at FAR"]
    column = {name: head.index(name) for name in ("TAR", "FMR met", "threshold")}
    assert [row[0] for row in rows] == [far_name(far) for far in FARS]
    for far, row in zip(FARS[:3], rows, strict=False):
        threshold = row[column["threshold"]]
        assert (scores[same] >= threshold).mean() == pytest.approx(row[column["TAR"]], abs=0.02)
        assert row[column["FMR met"]] <= far
    assert rows[0][1] > rows[1][1] > rows[2][1]


def test_fars_that_repeat_on_the_grid_are_no_crash():
    """insightface's interpolation fails with "Expect x to not have duplicates"."""
    scores, same = toy()
    found = if_val(np.round(np.clip(scores / 4, -1, 1), 1), same, 0.05)
    assert 0 < found.val < 1 and 0 <= found.far < 0.2


def test_a_fold_without_a_kind_says_nothing_of_it():
    """An empty mean is a NaN, with which no report can be written."""
    scores, same = toy()
    scores = scores / 4
    folds = np.arange(600) * 10 // 600
    same[:60] = True
    found = if_val(scores, same, 0.05, folds)
    assert np.isfinite([found.val, found.std, found.far]).all()
    with pytest.raises(InputError, match="without fold 1 no impostor pair"):
        if_val(scores, folds > 0, 0.05, folds)


def test_every_rate_has_an_interval_and_missing_faces_are_counted():
    """No older project states an interval, and a photo without a face is a zero vector or is left out in silence."""
    rng = np.random.default_rng(0)
    identity = np.repeat(np.arange(40), 2)
    left, right = np.arange(80), (np.arange(80) + 1) % 80
    same = identity[left] == identity[right]
    pairs = Verification("toy", [], left, right, same, identity=identity, resamples=50)
    embeddings = rng.normal(size=(40, 8))[identity] + rng.normal(size=(80, 8))
    report = pairs.score(embeddings, np.arange(80) == 3)
    assert report.protocol["photos without a face"] == 1
    measured = {"accuracy", "eer", "auc", "tar@far=1e-1", "tar@far=1e-2"} & report.metrics.keys()
    assert {name for name in measured if report.metrics[name] is not None} <= report.intervals.keys()
    json.dumps(report.to_dict(), allow_nan=False)
