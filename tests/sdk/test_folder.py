import json
import sys
import threading

import numpy as np
import pytest

from facezoo.align import TEMPLATES
from facezoo.files import write_bytes
from facezoo.image import read_image, write_image
from facezoo.sdk import align_folder
from facezoo.sdk.detector import Detector
from facezoo.types import Face, InputError

TEMPLATE = np.array(TEMPLATES["arcface"].points)


class Known(Detector):
    """Finds as many faces as the red of the first pixel says, side by side, each on its template."""

    def __init__(self):
        self.calls, self._lock = 0, threading.Lock()

    def many(self, images):
        with self._lock:
            self.calls += len(images)
        return [
            [
                Face(np.array([112.0 * i, 0, 112.0 * (i + 1), 112]), 0.9 - i / 10, TEMPLATE + np.array([112 * i, 0]))
                for i in range(image[0, 0, 0])
            ]
            for image in images
        ]


def photo(faces: int, grey: int = 100) -> np.ndarray:
    image = np.full((112, 224, 3), grey, np.uint8)
    image[:, 112:] = grey + 50
    image[0, 0, 0] = faces
    return image


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    write_image(folder / "ann" / "1.png", photo(1))
    write_image(folder / "ann" / "2.png", photo(2))
    write_image(folder / "bob" / "1.png", photo(0))
    write_bytes(folder / "bob" / "broken.jpg", b"not a photo")
    write_image(folder / "top.png", photo(1))
    return folder


def made(out):
    return sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.suffix in {".jpg", ".png"})


def test_a_folder_becomes_crops_in_the_same_sub_folders(photos, tmp_path):
    report = align_folder(photos, tmp_path / "crops", Known())

    assert made(tmp_path / "crops") == ["ann/1.jpg", "ann/2.jpg", "top.jpg"]
    assert (report.images, report.crops, report.without_face) == (5, 3, ["bob/1.png"])
    assert list(report.unreadable) == ["bob/broken.jpg"]
    assert "not an image" in report.unreadable["bob/broken.jpg"]
    assert json.loads((tmp_path / "crops" / "report.json").read_text())["crops"] == 3


def test_all_faces_are_numbered_by_score(photos, tmp_path):
    out = tmp_path / "crops"
    align_folder(photos, out, Known(), faces="all", format="png")

    assert made(out) == ["ann/1_face0.png", "ann/2_face0.png", "ann/2_face1.png", "top_face0.png"]
    assert np.array_equal(read_image(out / "ann" / "2_face1.png"), photo(2)[:, 112:])


def test_size_and_template_are_those_asked_for(photos, tmp_path):
    align_folder(photos, tmp_path / "crops", Known(), template="dlib", size=(150, 150))

    assert read_image(tmp_path / "crops" / "top.jpg").shape == (150, 150, 3)


def test_a_second_run_does_only_what_is_missing(photos, tmp_path):
    out = tmp_path / "crops"
    first = align_folder(photos, out, Known())
    (out / "ann" / "1.jpg").unlink()
    write_image(photos / "new.png", photo(1))
    detector = Known()

    second = align_folder(photos, out, detector)

    assert detector.calls == 2
    assert (second.images, second.crops) == (first.images + 1, first.crops + 1)
    assert second.without_face == first.without_face


def test_a_run_killed_while_it_writes_a_line_goes_on(photos, tmp_path):
    out = tmp_path / "crops"
    align_folder(photos, out, Known())
    journal = out / "align.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:2]) + lines[2][:15])

    for _ in range(2):
        assert align_folder(photos, out, Known()).crops == 3
    assert align_folder(photos, out, detector := Known()).crops == 3
    assert detector.calls == 0


def test_other_settings_in_the_same_folder_are_refused(photos, tmp_path):
    align_folder(photos, tmp_path / "crops", Known())

    with pytest.raises(InputError, match=r"holds crops made with template arcface, size \[112, 112\], faces main"):
        align_folder(photos, tmp_path / "crops", Known(), faces="all")


def test_photos_are_never_overwritten_by_their_crops(photos):
    before = made(photos)
    for out in (photos, photos / "crops", photos / "crops" / ".."):
        with pytest.raises(InputError, match="choose a folder outside of it"):
            align_folder(photos, out, Known())

    assert made(photos) == before


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
def test_crops_that_a_link_leads_to_are_not_taken_for_photos(photos, tmp_path):
    align_folder(photos, tmp_path / "crops", Known())
    (photos / "link").symlink_to(tmp_path / "crops")

    with pytest.raises(InputError, match=r"a link in .* leads there"):
        align_folder(photos, tmp_path / "crops", Known())


def test_photos_that_differ_only_in_their_ending_keep_it(tmp_path):
    write_image(tmp_path / "photos" / "a.png", photo(1))
    write_image(tmp_path / "photos" / "a.bmp", photo(1))
    align_folder(tmp_path / "photos", tmp_path / "crops", Known())

    assert made(tmp_path / "crops") == ["a.bmp.jpg", "a.png.jpg"]


def test_the_journal_tells_where_each_crop_was(photos, tmp_path):
    align_folder(photos, tmp_path / "crops", Known(), workers=3)
    lines = [json.loads(line) for line in (tmp_path / "crops" / "align.jsonl").read_text().splitlines()]

    assert lines[0]["settings"]["template"] == "arcface"
    assert [line["image"] for line in lines[1:]] == [
        "ann/1.png",
        "ann/2.png",
        "bob/1.png",
        "bob/broken.jpg",
        "top.png",
    ]
    assert lines[1]["crops"][0]["crop"] == "ann/1.jpg"
    assert np.allclose(lines[1]["crops"][0]["landmarks"], TEMPLATE, atol=0.01)


def test_a_folder_without_photos_is_refused_before_anything_is_made(tmp_path):
    (tmp_path / "photos").mkdir()
    with pytest.raises(InputError, match="holds no images"):
        align_folder(tmp_path / "photos", tmp_path / "crops", Known())
    with pytest.raises(InputError, match="unknown alignment template"):
        align_folder(tmp_path / "photos", tmp_path / "crops", Known(), template="none")
    assert not (tmp_path / "crops").exists()


def test_a_second_source_with_equal_names_is_not_done_already(photos, tmp_path):
    out, second = tmp_path / "crops", tmp_path / "second"
    write_image(second / "ann" / "1.png", photo(1, grey=180))
    align_folder(photos, out, Known(), format="png")

    align_folder(second, out, detector := Known(), format="png")

    assert detector.calls == 1
    assert np.array_equal(read_image(out / "ann" / "1.png"), photo(1, grey=180)[:, :112])


def test_a_photo_that_changed_is_done_again_and_leaves_no_crop_of_before(photos, tmp_path):
    out = tmp_path / "crops"
    align_folder(photos, out, Known(), faces="all")
    write_image(photos / "ann" / "2.png", photo(1))

    report = align_folder(photos, out, detector := Known(), faces="all")

    assert (detector.calls, report.crops) == (1, 3)
    assert made(out) == ["ann/1_face0.jpg", "ann/2_face0.jpg", "top_face0.jpg"]


def test_crops_of_two_detectors_are_not_mixed(photos, tmp_path):
    class Other(Known):
        pass

    align_folder(photos, tmp_path / "crops", Known())

    with pytest.raises(InputError, match=r"holds crops made with .* detector known; choose another folder"):
        align_folder(photos, tmp_path / "crops", Other())


@pytest.mark.parametrize("keep", [1, 40, -1])
def test_settings_torn_by_a_kill_are_written_again_and_still_count(photos, tmp_path, keep):
    out = tmp_path / "crops"
    align_folder(photos, out, Known())
    journal = out / "align.jsonl"
    journal.write_text(journal.read_text().splitlines(keepends=True)[0][:keep])

    assert align_folder(photos, out, Known()).crops == 3

    with pytest.raises(InputError, match="holds crops made with"):
        align_folder(photos, out, Known(), faces="all")


def test_no_photo_is_lost_behind_a_torn_line(photos, tmp_path):
    out = tmp_path / "crops"
    align_folder(photos, out, Known())
    journal = out / "align.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:2]) + lines[2][:15])

    align_folder(photos, out, Known())

    assert [json.loads(line)["image"] for line in journal.read_text().splitlines()[3:]] == [
        "ann/2.png",
        "bob/1.png",
        "bob/broken.jpg",
        "top.png",
    ]
