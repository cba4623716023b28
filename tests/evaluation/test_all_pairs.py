"""All pairs: the counts are those of every score, whatever the blocks, and intervals cover what they claim."""

from dataclasses import replace

import numpy as np
import pytest

from facezoo.evaluation import Verification, pair_counting
from facezoo.evaluation.all_pairs import AllPairs
from facezoo.evaluation.metrics import Sorted, auc, eer, tally, tar_at_far
from facezoo.evaluation.pair_counting import count_pairs
from facezoo.evaluation.quality_curves import QualityPart
from facezoo.evaluation.tails import cosines
from facezoo.registry import BENCHMARKS
from facezoo.types import InputError


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(pair_counting, "PANEL", 32)
    monkeypatch.setattr(pair_counting, "STRIP", 8)


@pytest.mark.parametrize("keep", [1 << 20, 300])
def test_the_operating_points_are_those_of_all_scores(drawn_people, every_pair, small_blocks, keep):
    embeddings, identity = drawn_people()
    fars = (0.01, 0.003, 0.001)
    scores, same, _, _ = every_pair(embeddings, identity)
    wanted = tally(scores, same)

    counts = count_pairs(embeddings, identity, keep=keep).settled(embeddings, fars)

    found = counts.tally()
    assert (found.genuine_total, found.impostor_total) == (wanted.genuine_total, wanted.impostor_total)
    assert (found.genuine.sum(), found.impostor.sum()) == (same.sum(), (~same).sum())
    for far in fars[1:] if keep == 300 and len(counts.impostor.scores) < 0.01 * found.impostor_total else fars:
        ours, truth = tar_at_far(found, far), tar_at_far(wanted, far)
        assert (ours.threshold, ours.tar, ours.fmr) == (truth.threshold, truth.tar, truth.fmr)
    assert eer(found) == pytest.approx(eer(wanted), abs=2e-3)
    assert auc(found) == pytest.approx(auc(wanted), abs=1e-4)


def test_the_bulk_never_makes_a_model_look_better(drawn_people, every_pair):
    embeddings, identity = drawn_people(noise=1.5)
    scores, same, _, _ = every_pair(embeddings, identity)
    found = count_pairs(embeddings, identity, keep=50).tally()

    for threshold in np.linspace(-0.5, 0.9, 50):
        cut = int(np.searchsorted(found.scores, threshold))
        assert found.fmr[cut] >= (scores[~same] >= threshold).mean() - 1e-12
        assert found.fnmr[cut] >= (scores[same] < threshold).mean() - 1e-12


def test_blocks_and_order_change_nothing(drawn_people, monkeypatch):
    embeddings, identity = drawn_people()
    whole = count_pairs(embeddings, identity, keep=200)
    monkeypatch.setattr(pair_counting, "PANEL", 16)
    monkeypatch.setattr(pair_counting, "STRIP", 5)
    order = np.random.default_rng(1).permutation(len(identity))

    parts = count_pairs(embeddings[order], identity[order], keep=200)

    np.testing.assert_allclose(parts.impostor.scores, whole.impostor.scores, atol=1e-6)
    assert parts.totals() == whole.totals()
    assert parts.tally().impostor.sum() == whole.tally().impostor.sum()


def test_ties_at_the_border_are_rejected_exactly(every_pair):
    centres = np.random.default_rng(0).normal(size=(12, 8)).astype(np.float32)
    identity = np.repeat(np.arange(12), 3)
    embeddings = centres[identity]  # every impostor score comes nine times
    scores, same, _, _ = every_pair(embeddings, identity)

    counts = count_pairs(embeddings, identity).settled(embeddings, [0.05])

    wanted = tar_at_far(tally(scores, same), 0.05)
    assert tar_at_far(counts.tally(), 0.05) == wanted
    assert wanted.fmr * (~same).sum() % 9 == pytest.approx(0, abs=1e-6)


def test_pairs_of_photos_without_a_face_are_never_accepted(drawn_people, every_pair):
    embeddings, identity = drawn_people()
    failed = np.zeros(len(identity), bool)
    failed[[0, 5, 9]] = True
    scores, same, _, _ = every_pair(embeddings, identity, failed)
    wanted = tar_at_far(tally(scores, same), 0.01)

    found = tar_at_far(count_pairs(embeddings, identity, failed).settled(embeddings, [0.01]).tally(), 0.01)

    assert (found.tar, found.fmr, found.threshold) == pytest.approx((wanted.tar, wanted.fmr, wanted.threshold))


def test_identities_can_count_alike(drawn_people, every_pair):
    embeddings, identity = drawn_people()
    scores, same, left, right = every_pair(embeddings, identity)
    sizes = np.bincount(identity)
    a, b = sizes[identity[left]], sizes[identity[right]]
    weights = np.where(same, 2 / np.maximum(a * (a - 1), 1), 1 / (a * b))
    wanted = Sorted(scores, same).tally(weights)

    counts = count_pairs(embeddings, identity, equal="identities", keep=100)

    found = counts.settled(embeddings, [0.01]).tally()
    assert (found.genuine_total, found.impostor_total) == pytest.approx((wanted.genuine_total, wanted.impostor_total))
    assert (found.genuine.sum(), found.impostor.sum()) == pytest.approx((wanted.genuine.sum(), wanted.impostor.sum()))
    assert tar_at_far(found, 0.01).tar == pytest.approx(tar_at_far(wanted, 0.01).tar)


class Killed(Exception):
    pass


def test_an_interrupted_count_goes_on_and_ends_alike(drawn_people, small_blocks, monkeypatch, tmp_path):
    monkeypatch.setattr(pair_counting, "SAVE_EVERY", 0.0)
    embeddings, identity = drawn_people()
    whole = count_pairs(embeddings, identity, keep=200)
    state, done, real = tmp_path / "state.npz", [], pair_counting.save_state

    def save_state(*given):
        real(*given)
        done.append(1)
        if len(done) == 5:
            raise Killed

    monkeypatch.setattr(pair_counting, "save_state", save_state)
    with pytest.raises(Killed):
        count_pairs(embeddings, identity, keep=200, state=state)
    assert state.is_file()
    done.clear()
    with pytest.raises(InputError, match="other embeddings"):
        count_pairs(embeddings + 1, identity, keep=200, state=state)
    monkeypatch.setattr(pair_counting, "save_state", lambda *given: (done.append(1), real(*given)))

    again = count_pairs(embeddings, identity, keep=200, state=state)

    panels = len(pair_counting._panels(len(identity)))
    assert len(done) == panels - 5
    assert not state.exists()
    for name in ("scores", "left", "right", "bulk"):
        np.testing.assert_array_equal(getattr(again.impostor, name), getattr(whole.impostor, name))


def test_a_damaged_state_is_one_sentence(drawn_people, tmp_path):
    embeddings, identity = drawn_people()
    (tmp_path / "state.npz").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="remove it"):
        count_pairs(embeddings, identity, state=tmp_path / "state.npz")


@pytest.mark.parametrize("content", ["empty", "array", "foreign", "folder", "nowhere"])
def test_a_place_where_no_state_can_be_is_refused_before_any_work(drawn_people, tmp_path, content):
    path = tmp_path / "state.npz"
    if content == "empty":
        path.touch()
    elif content == "array":
        with path.open("wb") as file:
            np.save(file, np.arange(3))
    elif content == "foreign":
        np.savez_compressed(path, weights=np.arange(3))
    else:
        path = tmp_path if content == "folder" else tmp_path / "none" / "state.npz"
    with pytest.raises(InputError, match=r"not a readable state|is a folder|there is no folder"):
        AllPairs("toy", [], drawn_people()[1], state=path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"keep": 0}, "keep is 0"),
        ({"equal": "votes"}, "pairs or identities"),
        ({"p_target": 1.0}, "p_target"),
        ({"false_alarm": 0.0}, "false_alarm"),
        ({"seed": -1}, "seed is -1"),
        ({"resamples": -1}, "resamples is -1"),
        ({"fars": (1e-30,)}, "below 1e-12"),
        ({"identity": np.arange(5)}, "two people"),
    ],
)
def test_options_are_checked_before_photos_are_embedded(drawn_people, options, words):
    with pytest.raises(InputError, match=words):
        AllPairs("toy", [], **{"identity": drawn_people()[1], **options})


@pytest.mark.parametrize("faces", [[0], [0, 1], [0, 2]])
def test_one_or_two_faces_are_a_sentence_or_a_report(faces):
    embeddings, identity = np.eye(5, 4, dtype=np.float32), np.array([0, 0, 1, 1, 2])
    failed = ~np.isin(np.arange(5), faces)
    benchmark = AllPairs("toy", [], identity, resamples=10)
    if len(faces) == 1:
        with pytest.raises(InputError, match="only one photo has a face"):
            benchmark.score(embeddings, failed)
        return
    report = benchmark.score(embeddings, failed)
    assert all(value is None or np.isfinite(value) for value in report.metrics.values())


def test_what_cannot_be_measured_is_left_out_and_said(drawn_people):
    embeddings, identity = drawn_people()
    report = AllPairs("toy", [], identity, resamples=20).score(embeddings)

    assert report.metrics["tar@far=1e-2"] is not None
    assert report.metrics["tar@far=1e-8"] is None
    assert "not measurable" in report.protocol["tar@far=1e-8"]
    assert report.metrics["fnmr@fmr=1e-2"] == pytest.approx(1 - report.metrics["tar@far=1e-2"])
    assert set(report.intervals) <= {name for name, value in report.metrics.items() if value is not None}


def test_a_half_precision_memory_map_is_counted_as_it_is(drawn_people, every_pair, tmp_path):
    embeddings, identity = drawn_people()
    np.save(tmp_path / "e.npy", embeddings.astype(np.float16))
    mapped = np.load(tmp_path / "e.npy", mmap_mode="r")
    counts = count_pairs(mapped, identity).settled(mapped, [0.01])
    scores, same, _, _ = every_pair(np.asarray(mapped), identity)
    assert tar_at_far(counts.tally(), 0.01) == tar_at_far(tally(scores, same), 0.01)


@pytest.mark.parametrize("lost", [[], [0, 5, 9, 33]])
def test_groups_of_all_pairs_are_those_of_a_list(drawn_people, every_pair, lost):
    from facezoo.evaluation.group_rates import GroupPart

    embeddings, identity = drawn_people()
    failed = np.isin(np.arange(len(identity)), lost)
    part = GroupPart(["a", "b"], identity % 2)
    _, same, left, right = every_pair(embeddings, identity)
    listed = Verification("toy", [], left, right, same, 5, identity=identity, resamples=10, parts=(part,))

    ours = replace(AllPairs("toy", [], identity, resamples=10), parts=(part,)).score(embeddings, failed)

    wanted = listed.score(embeddings, failed)
    keys = [key for key in wanted.metrics if key.startswith(("a/", "b/", "fdr", "garbe"))]
    assert len(keys) >= 8
    for key in keys:
        assert ours.metrics[key] == pytest.approx(wanted.metrics[key], abs=1e-6), key


def test_quality_of_all_pairs_is_that_of_a_list(drawn_people, every_pair, tmp_path):
    embeddings, identity = drawn_people()
    quality = np.round(np.random.default_rng(0).random(len(identity)), 1)
    failed = np.isin(np.arange(len(identity)), [0, 5])
    part = QualityPart("noise", quality, "images", "fixed")
    _, same, left, right = every_pair(embeddings, identity)

    ours = AllPairs("toy", [], identity, resamples=0, parts=(part,)).score(embeddings, failed)

    listed = Verification("toy", [], left, right, same, 5, identity=identity, resamples=0, parts=(part,))
    wanted = listed.score(embeddings, failed)
    curve, theirs = (report.curves["edc/noise at 1e-2"]["fnmr"] for report in (ours, wanted))
    assert curve == pytest.approx(theirs)


def test_quality_takes_all_pairs_and_says_so_before_any_work(tmp_path):
    for person in range(3):
        (tmp_path / f"p{person}").mkdir()
        for k in range(2):
            (tmp_path / f"p{person}" / f"{k}.jpg").touch()
    (tmp_path / "q.csv").write_text("path,score\n" + "\n".join(f"p{p}/{k}.jpg,1" for p in range(3) for k in range(2)))
    spec = f"all_pairs:root={tmp_path},aligned=arcface,quality={tmp_path / 'q.csv'}"
    assert BENCHMARKS.create(spec).parts
    with pytest.raises(InputError, match="give keep=12, or take folder:"):
        BENCHMARKS.create(f"{spec},keep=11")
    with pytest.raises(InputError, match="leave equal=identities out"):
        BENCHMARKS.create(f"{spec},equal=identities")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"identity": np.zeros(4, int)}, "two people"),
        ({"identity": np.arange(4)}, "two people"),
        ({"identity": np.arange(3)}, "for 3 photos"),
        ({"embeddings": np.full((4, 2), np.nan, np.float32)}, "not finite"),
        ({"failed": np.ones(4, bool)}, "no photo has a face"),
        ({"keep": 0}, "1 or more"),
        ({"equal": "votes"}, "pairs or identities"),
    ],
)
def test_what_cannot_be_counted_is_one_sentence(change, words):
    given = {"embeddings": np.eye(4, 2, dtype=np.float32), "identity": np.array([0, 0, 1, 1]), **change}
    with pytest.raises(InputError, match=words):
        count_pairs(given.pop("embeddings"), given.pop("identity"), given.pop("failed", None), **given)


def test_a_tar_of_0_is_bounded_by_the_number_of_people():
    identity = np.arange(60) % 30
    embeddings = np.repeat(np.random.default_rng(0).normal(size=(30, 16)), 2, axis=0)  # copies under two names
    report = AllPairs("toy", [], identity, fars=(1e-2,), resamples=20).score(embeddings)
    assert report.metrics["tar@far=1e-2"] == 0
    assert report.tables["FNMR at FMR"][1][:2] == ("1e-2", 1.0)
    for name, ends in (("tar@far=1e-2", (0, 3 / 30)), ("fnmr@fmr=1e-2", (1 - 3 / 30, 1))):
        found = report.intervals[name]
        assert (found.low, found.high) == pytest.approx(ends) and "no success in 30 pairs" in found.method


def test_groups_count_genuine_pairs_that_are_not_held(drawn_people, monkeypatch):
    from facezoo.evaluation.group_rates import GroupPart

    embeddings, identity = drawn_people()
    whole = AllPairs("toy", [], identity, resamples=0, parts=(GroupPart(["a", "b"], identity % 2),))
    wanted = whole.score(embeddings)
    total = whole.count(embeddings).genuine_pairs
    monkeypatch.setattr(pair_counting, "KEEP_GENUINE", total // 2)

    found = whole.score(embeddings)

    ours = {key: value for key, value in found.metrics.items() if key.startswith(("a/", "b/"))}
    assert ours and "a/eer" not in ours  # which may lie among those that are not held
    for key, value in ours.items():
        assert value == pytest.approx(wanted.metrics[key]), key
    curve, every = found.curves["roc/a"], wanted.curves["roc/a"]
    drawn = dict(zip(every["threshold"], every["fnmr"]))
    shared = [(drawn[score], fnmr) for score, fnmr in zip(curve["threshold"], curve["fnmr"]) if score in drawn]
    assert len(shared) > 20
    assert all(fnmr == pytest.approx(true) for true, fnmr in shared)


@pytest.mark.parametrize("equal", ["pairs", "identities"])
def test_photos_against_copies_are_those_of_a_loop_over_ordered_pairs(small_blocks, equal):
    rng = np.random.default_rng(0)
    number, who = 45, np.tile(rng.integers(0, 9, 45), 2)
    embeddings = rng.normal(size=(9, 8))[who] + rng.normal(size=(2 * number, 8))
    failed = np.isin(np.arange(2 * number), [3, 7, 50, 52, 60])
    left, right = np.nonzero(~np.eye(number, dtype=bool))
    scores, same = cosines(embeddings, left, number + right), who[left] == who[right]
    scores[failed[left] | failed[number + right]] = -np.inf

    counts = count_pairs(embeddings, who, failed, equal=equal, copies=True).settled(embeddings, [0.1, 0.01])
    tallied = counts.tally()

    assert (counts.genuine_pairs, counts.impostor_pairs) == (same.sum(), (~same).sum())
    lost = [set(zip(*sides)) for sides in (counts.failed_pairs(), (left, number + right))]
    assert lost[0] == {pair for pair in lost[1] if failed[list(pair)].any() and who[pair[0]] == who[pair[1]]}
    if equal == "pairs":
        wanted = Sorted(scores, same).tally()
        assert (tallied.genuine_total, tallied.impostor_total) == (wanted.genuine_total, wanted.impostor_total)
        assert eer(tallied) == pytest.approx(eer(wanted), abs=1e-6)
        assert [tar_at_far(tallied, far) for far in (0.1, 0.01)] == [tar_at_far(wanted, far) for far in (0.1, 0.01)]
    else:  # two people are a pair that counts once, whichever photo is the copy
        assert (tallied.genuine_total, tallied.impostor_total) == pytest.approx((9, 36))
        chosen = scores[~same] >= 0.4
        sizes = np.bincount(who[:number])
        weight = 1 / (2 * sizes[who[left]] * sizes[who[right]])[~same]
        cut = int(np.searchsorted(tallied.scores, 0.4))
        assert tallied.fmr[cut] == pytest.approx(weight[chosen].sum() / 36)
