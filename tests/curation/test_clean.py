import csv
import json
import shutil

import numpy as np
import pytest

from facezoo.curation.clean import Limits, find, write_findings
from facezoo.curation.decisions import Decisions, apply, read_decisions
from facezoo.curation.outliers import centre
from facezoo.curation.page import clean_page
from facezoo.data.opening import open_dataset
from facezoo.image import encode_jpeg, read_image, write_image
from facezoo.types import InputError, unit


@pytest.fixture
def planted(world, paint):
    """Six images under a wrong name, one person under two names and one under three, four copies."""
    for k in range(6):
        (world / f"p{k:02d}" / "3.png").rename(world / f"p{k + 10:02d}" / f"wrong{k}.png")
    for k in range(10, 15):
        write_image(world / "p31" / f"{k}.png", paint(31, k))
    for new, old, photos in (("q30", "p30", range(5)), ("q31", "p31", range(5)), ("r31", "p31", range(5, 10))):
        (world / new).mkdir()
        for k in photos:
            (world / old / f"{k}.png").rename(world / new / f"{k}.png")
    (world / "p40/copy.jpg").write_bytes(encode_jpeg(read_image(world / "p40/1.png"), 60))
    write_image(world / "p41/mirror.png", read_image(world / "p41/2.png")[:, ::-1])
    shutil.copy(world / "p42/1.png", world / "p42/same.png")
    (world / "p44/other.jpg").write_bytes(encode_jpeg(read_image(world / "p43/1.png"), 80))
    return open_dataset(str(world))


LIMITS = Limits(copy_likeness=0.9, copy_cosine=0.9)


@pytest.fixture
def found(planted, embed, tmp_path):
    return find(planted, embed, "m", tmp_path / "embeddings", LIMITS)


def path_set(data, samples):
    return {data.path(sample) for sample in samples}


def test_images_under_a_wrong_name_are_found_and_their_person_named(planted, found):
    paths = path_set(planted, [outlier.sample for outlier in found.outliers])
    wrong = {f"p{k + 10:02d}/wrong{k}.png" for k in range(6)}
    assert paths >= wrong | {"p44/other.jpg"} and len(paths) <= 9
    for outlier in found.outliers:
        if "wrong" in planted.path(outlier.sample):
            k = int(planted.path(outlier.sample)[-5])
            assert planted.classes[outlier.other] == f"p{k:02d}" and outlier.other_score > outlier.score
    assert [o.score for o in found.outliers] == sorted(o.score for o in found.outliers)


def test_people_under_several_names_are_found(planted, found):
    groups = {tuple(planted.classes[label] for label in merge.labels) for merge in found.merges}
    assert groups == {("p30", "q30"), ("p31", "q31", "r31")}


def test_copies_are_found_also_across_identities(planted, found):
    groups = {frozenset(path_set(planted, (g.keep, *g.others))): g for g in found.duplicates}
    pairs = [("p40/1.png", "p40/copy.jpg"), ("p42/1.png", "p42/same.png"), ("p43/1.png", "p44/other.jpg")]
    assert set(groups) >= {frozenset(pair) for pair in pairs} and len(groups) <= 4
    across = groups[frozenset(pairs[2])]
    assert across.across and planted.path(across.keep) == "p43/1.png" and found.duplicates[0] is across


def test_a_mirrored_copy_is_found_where_the_model_sees_no_sides(planted, embed, tmp_path):
    class Mirrored(type(embed)):
        def __call__(self, crops):
            crops = list(crops)
            return super().__call__(crops) + super().__call__([crop[:, ::-1] for crop in crops])

    found = find(planted, Mirrored(), "m", tmp_path / "e", LIMITS)
    mirrored = [group for group in found.duplicates if group.mirrored]
    assert [path_set(planted, (g.keep, *g.others)) for g in mirrored] == [{"p41/2.png", "p41/mirror.png"}]


def test_likeness_of_copies_is_measured_on_copies_of_the_data(planted, embed, tmp_path):
    found = find(planted, embed, "m", tmp_path / "e")
    assert 0.9 < found.alike.cosine < 1 and 0.3 < found.alike.likeness < 1


def test_limits_that_are_given_count(planted, embed, tmp_path):
    found = find(planted, embed, "m", tmp_path / "e", Limits(0.8, 0.95, -1.0, 1.1, 0.9, 0.9))
    assert not found.outliers and not found.merges and found.outlier_limit.share is None


def test_the_lists_and_the_proposal_say_the_same(planted, found, tmp_path):
    applied = write_findings(found, planted, str(planted.root), tmp_path / "out")
    out = tmp_path / "out"
    outliers = list(csv.DictReader((out / "outliers.csv").read_text().splitlines()))
    assert [int(row["sample"]) for row in outliers] == [outlier.sample for outlier in found.outliers]
    decisions = read_decisions(out / "decisions.json")
    assert decisions == found.decisions(planted)
    assert dict(decisions.merge) == {"q30": "p30", "q31": "p31", "r31": "p31"}
    kept = open_dataset(applied.spec)
    assert len(kept) == applied.kept == len(planted) - applied.dropped and applied.merged == 3
    assert not set(decisions.drop.values()) & path_set(kept, range(len(kept))) and len(kept.classes) == 60
    assert len(planted) == len(open_dataset(str(planted.root)))


def test_the_page_holds_every_decision_though_it_shows_few(planted, found):
    html = clean_page(found, planted, "<b>", shown=2)
    text = html.split('id="decisions">')[1].split("</script>")[0]
    entries = [entry for item in json.loads(text) for entry in item]
    drop = {entry["sample"]: entry["path"] for entry in entries if "sample" in entry}
    merge = [(entry["identity"], entry["into"]) for entry in entries if "into" in entry]
    assert Decisions(drop, tuple(merge)) == found.decisions(planted)
    assert "&lt;b&gt;" in html and html.count("<figure>") == 6 and "the first 2 are shown" in html


def test_a_model_that_does_not_tell_people_apart_is_named(planted, found, embed, tmp_path):
    class Guess(type(embed)):
        def __call__(self, crops):
            rows = super().__call__(crops)
            return np.random.default_rng(len(rows)).normal(size=rows.shape).astype(np.float32) + 3

    assert not found.warning() and 'class="warning"' not in clean_page(found, planted, "t", 2)
    limits = Limits(outlier_cosine=0.0, merge_cosine=0.999, copy_cosine=0.999, copy_likeness=0.999)
    guessed = find(planted, Guess(), "guess", tmp_path / "g", limits)
    assert "hardly tells these people apart" in clean_page(guessed, planted, "t", 2)


def test_a_name_cannot_break_out_of_the_page(world, embed, tmp_path):
    (world / "p00").rename(world / "p00<x>")
    shutil.copy(world / "p00<x>" / "1.png", world / "p00<x>" / "<script>.png")
    data = open_dataset(str(world))
    found = find(data, embed, "m", tmp_path / "e", LIMITS)
    html = clean_page(found, data, "t", shown=50)
    assert "<x>" not in html and "<script>.png" not in html


def test_outliers_up_to_below_half_do_not_move_the_centre():
    rng = np.random.default_rng(0)
    person = unit(rng.normal(size=(1, 64)))
    own = unit(person + 0.05 * rng.normal(size=(11, 64)))
    others = unit(unit(rng.normal(size=(1, 64))) + 0.01 * rng.normal(size=(9, 64)))  # alike among themselves
    middle, scores = centre(np.concatenate([own, others]).astype(np.float32))
    assert middle @ person[0] > 0.95 and scores[:11].min() > scores[11:].max() + 0.5


def test_an_image_has_no_part_in_the_centre_it_is_judged_by():
    vectors = np.eye(8, dtype=np.float32)[:2]
    assert centre(vectors)[1].tolist() == [0, 0]


def decide(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_decisions_are_read_from_csv_as_from_json(tmp_path):
    rows = 'action,sample,path,identity,into\ndrop,3,"a, b.jpg",,\nmerge,,,b,a\n'
    expected = Decisions({3: "a, b.jpg"}, (("b", "a"),))
    assert read_decisions(decide(tmp_path / "d.csv", rows)) == expected
    expected.write(tmp_path / "d.json")
    assert read_decisions(tmp_path / "d.json") == expected


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("d.json", "{", "neither decisions as JSON"),
        ("d.json", "[]", "an object with the lists"),
        ("d.json", '{"drop": [{"sample": -1, "path": "x"}], "merge": []}', "drop 1: neither a sample"),
        ("d.json", '{"drop": [7], "merge": []}', "drop 1: neither a sample"),
        ("d.json", '{"drop": [], "merge": [{"identity": "a"}]}', "merge 1: neither"),
        ("d.csv", "a,b\n", "the first line must be action,sample"),
        ("d.csv", "action,sample,path,identity,into\nkill,1,x,,\n", "d.csv:2: neither"),
    ],
)
def test_bad_decisions_are_refused(tmp_path, name, text, message):
    with pytest.raises(InputError, match=message):
        read_decisions(decide(tmp_path / name, text))


def test_decisions_about_other_data_are_refused(planted, tmp_path):
    for drop, merge, message in (
        ({0: "elsewhere.png"}, (), "they are about others"),
        ({99999: "x"}, (), "no such sample"),
        ({}, (("p00", "nobody"),), "no identity 'nobody'"),
        ({}, (("p00", "p01"), ("p01", "p00")), "merge in a circle: p00, p01"),
    ):
        with pytest.raises(InputError, match=message):
            apply(planted, str(planted.root), Decisions(drop, merge), tmp_path / "o.txt")


def test_merges_are_followed_to_their_end(planted, tmp_path):
    merge = (("p00", "p01"), ("p01", "p02"))
    done = apply(planted, str(planted.root), Decisions({}, merge), tmp_path / "o.txt")
    kept = open_dataset(done.spec)
    assert "p00" not in kept.classes and "p01" not in kept.classes and done.merged == 2
    assert (kept.labels == kept.classes.index("p02")).sum() == 9 + 9 + 9
