"""IJB's lists and photos, from files to the command's table."""

import json

import numpy as np
import pytest

from facezoo.evaluation import embed_photos, evaluate
from facezoo.image import write_image
from facezoo.registry import BENCHMARKS
from facezoo.types import Contract, InputError


def write_set(root, people=4, templates=3, photos=2):
    """A set of random photos with faces anywhere in them, as insightface lays it out."""
    rng = np.random.default_rng(0)
    points = np.array([[40, 45], [72, 45], [56, 62], [43, 80], [69, 80]], float)
    lines, faces = [], []
    patterns = rng.integers(0, 255, (people, 14, 14, 3))
    for template in range(people * templates):
        for k in range(photos):
            name = f"{template * photos + k + 1}.jpg"
            shift = rng.integers(0, 20, 2)
            picture = np.kron(patterns[template // templates], np.ones((10, 10, 1))) + rng.normal(0, 20, (140, 140, 3))
            picture = np.roll(picture, shift[::-1], (0, 1))
            write_image(root / "loose_crop" / name, picture.clip(0, 255).astype(np.uint8))
            lines.append(f"{name} {10 + template} {template * photos + k}")
            faces.append(" ".join([name, *(f"{v:g}" for v in (points + shift).ravel()), "0.9"]))
    meta = root / "meta"
    meta.mkdir()
    (meta / "ijbc_face_tid_mid.txt").write_text("\n".join(lines) + "\n")
    (meta / "ijbc_name_5pts_score.txt").write_text("\n".join(faces) + "\n")
    ids = np.arange(people * templates)
    (meta / "ijbc_template_pair_label.txt").write_text(
        "".join(f"{10 + a} {10 + b} {int(a // templates == b // templates)}\n" for a in ids for b in ids if a < b)
    )
    header = "TEMPLATE_ID,SUBJECT_ID,FILENAME\n"
    for part, chosen in (("gallery_G1", ids[::templates][::2]), ("gallery_G2", ids[::templates][1::2])):
        rows = "".join(f"{10 + t},{t // templates},x.jpg\n" for t in chosen)
        (meta / f"ijbc_1N_{part}.csv").write_text(header + rows)
    rows = "".join(f"{10 + t},{t // templates},x.jpg\n" * 2 for t in ids if t % templates)
    (meta / "ijbc_1N_probe_mixed.csv").write_text(header + rows)


class Means:
    """Embeds a crop as the means of its columns, and notes what it was given."""

    contract = Contract("means", embedding_dim=336, flip=False)

    def __init__(self):
        self.shapes = set()

    def __call__(self, crops):
        rows = []
        for crop in crops:
            self.shapes.add(crop.shape)
            rows.append(crop.mean(axis=0).ravel())
        return np.array(rows, np.float32)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ijbc")
    write_set(folder)
    return folder


def test_a_set_is_scored_by_the_command(tree, mosaic, tmp_path, run):
    specs = [f"ijb:root={tree},resamples=10", f"ijb@tface:root={tree},flip=concat"]

    code, _, errors = run(
        "evaluate", mosaic / "mosaic.onnx", *specs, "--contract", mosaic / "contract.toml", "--out", tmp_path / "r.json"
    )

    assert code == 0, errors
    plain, concat = json.loads((tmp_path / "r.json").read_text())
    assert plain["metrics"]["rank1"] == 1 and plain["metrics"]["tar@far=1e-1"] == 1
    assert plain["protocol"]["templates"] == 12 and plain["protocol"]["photos"] == 24
    assert plain["protocol"]["galleries"] == "G1 2, G2 2" and plain["protocol"]["mated probes"] == 8
    assert concat["protocol"]["mirror images"].endswith("side by side")


def test_faces_are_aligned_by_the_points_that_come_along(tree):
    benchmark = BENCHMARKS.create(f"ijb:root={tree},task=verify")

    embed = Means()
    report = evaluate(benchmark, embed)

    assert embed.shapes == {(112, 112, 3)} and "landmarks given with the photos" in report.protocol["alignment"]
    assert not report.protocol["photos without a face"] and "rank1" not in report.metrics


def test_photo_and_mirror_image_are_embedded_apart(tree):
    benchmark = BENCHMARKS.create(f"ijb:root={tree},flip=concat")

    embedded = embed_photos(benchmark, Means()).embeddings.reshape(2, 24, 112, 3)

    np.testing.assert_allclose(embedded[0], embedded[1][:, ::-1])
    assert not np.allclose(embedded[0], embedded[1])


@pytest.mark.parametrize("spec", ["ijb@facexzoo:root={}", "ijb@tface:root={}", "ijb:root={},flip=add"])
def test_a_protocol_without_the_models_flip_says_so_at_once(tree, spec):
    class Flips(Means):
        contract = Contract("flips", embedding_dim=336, flip=True)

        def __call__(self, crops):
            raise AssertionError("embedded")

    with pytest.raises(InputError, match=r"flips adds the mirror image.*--no-flip"):
        evaluate(BENCHMARKS.create(spec.format(tree)), Flips())
    assert len(BENCHMARKS.create(f"ijb@tface:root={tree}").photos) == 24


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("ijbc_face_tid_mid.txt", "1.jpg x 3\n", "line 1"),
        ("ijbc_face_tid_mid.txt", "../1.jpg 1 3\n", "leaves the folder"),
        ("ijbc_face_tid_mid.txt", "99.jpg 1 3\n", "no five points"),
        ("ijbc_name_5pts_score.txt", "1.jpg 1 2 3\n", "line 1"),
        ("ijbc_template_pair_label.txt", "10 11 0\n10 x 1\n", "template template label"),
        ("ijbc_template_pair_label.txt", "10 99 0\n10 11 1\n", "template 99 has no photo"),
        ("ijbc_template_pair_label.txt", "", "no pairs"),
        ("ijbc_template_pair_label.txt", "\n \n", "no pairs"),
        ("ijbc_template_pair_label.txt", "10 11 0\n10 11\n", "template template label"),
        ("ijbc_template_pair_label.txt", "10 11\n10 12\n", "2 fields"),
        ("ijbc_template_pair_label.txt", "10 3000000000 1\n", "template template label"),
        ("ijbc_face_tid_mid.txt", f"1.jpg 1 {1 << 63}\n", "larger than 2"),
        ("ijbc_1N_gallery_G1.csv", f"TEMPLATE_ID,SUBJECT_ID\n10,{1 << 70}\n", "larger than 2"),
        ("ijbc_1N_gallery_G1.csv", "TEMPLATE_ID,SUBJECT_ID\n10,1\n10,2\n", "two subjects"),
        ("ijbc_1N_probe_mixed.csv", "TEMPLATE_ID,SUBJECT_ID\n", "no templates"),
    ],
)
def test_damaged_lists_are_named(tmp_path, file, content, words):
    write_set(tmp_path)
    (tmp_path / "meta" / file).write_text(content)

    with pytest.raises(InputError, match=words):
        BENCHMARKS.create(f"ijb:root={tmp_path}")


def test_a_missing_list_is_named(tree):
    with pytest.raises(InputError, match=r"ijbb_face_tid_mid.txt is neither"):
        BENCHMARKS.create(f"ijb:root={tree},set=ijbb")


def test_probe_templates_are_masked_by_the_points_of_the_list(tree, tmp_path):
    how = f"resamples=10,masked=probe,mask_mesh=landmarks,mask_folder={tmp_path / 'masks'}"
    plain, masked = (BENCHMARKS.create(f"ijb:root={tree},{more}") for more in ("resamples=10", how))
    apart = BENCHMARKS.create(f"ijb:root={tree},flip=off,{how}")

    report, both = evaluate(masked, Means()), evaluate(apart, Means())

    alone = evaluate(plain, Means())
    assert all(report.metrics[f"plain/{name}"] == pytest.approx(value) for name, value in alone.metrics.items())
    assert report.metrics["rank1"] == pytest.approx(both.metrics["rank1"])
    for name in ("tar@far=1e-1", "rank1"):  # without an error in either no resample tells of a difference
        assert report.metrics[f"difference/{name}"] == report.metrics[name] - report.metrics[f"plain/{name}"]
    assert len(masked.masked.shows) == 12 + 11  # the first template is no second one, and all of a gallery's are
    assert all(name in {photo.name for photo in masked.photos} for name in masked.masked.names()[0])
