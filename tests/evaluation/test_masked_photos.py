"""Masked photos of a benchmark: the same bytes by however many processes and kills, never those of another drawing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from facezoo.evaluation import masked_photos as engine
from facezoo.evaluation.photos import Photo
from facezoo.image import decode_image, find_images, read_image, write_image
from facezoo.mask import version
from facezoo.mask.finder import Finder
from facezoo.mask.outfit import Outfit
from facezoo.mask.wearables.image_file import write_texture
from facezoo.types import InputError

SCRIPT = Path(__file__).with_name("kill_masking.py")


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


@pytest.fixture
def draw(people: Path, monkeypatch):
    """Draws masks on the first twelve crops."""
    monkeypatch.setattr(engine, "PIECE", 4)
    photos = [Photo(path.name, path) for path in find_images(people)[:12]]

    def drawn(folder: Path | None, chosen=range(12), workers: int = 1, seed: int = 0, photos=photos):
        drawing = engine.Drawing(Outfit(("surgical", "n95"), 2), Finder("arcface", "landmarks"), seed)
        return engine.masked_photos("toy", photos, np.array(chosen), drawing, folder, workers)

    return drawn


def test_any_number_of_processes_and_any_choice_draws_the_same_bytes(draw, tmp_path: Path):
    whole = draw(tmp_path / "one", workers=1)
    draw(tmp_path / "some", [1, 2, 9])
    draw(tmp_path / "some", workers=2)

    assert tree(tmp_path / "one") == tree(tmp_path / "some")
    assert [photo.name[:7] for photo in whole.photos] == ["masked/"] * 12 and whole.bare == 0
    assert sum(name.endswith(".png") for name in tree(tmp_path / "one")) == 12
    worn = json.loads((tmp_path / "one/000001/worn.json").read_text())
    assert list(worn) == ["4", "5", "6", "7"] and all(len(names) == 1 for names in worn.values())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the drawing that is killed is a forked process")
def test_killed_at_any_file_operation_it_ends_with_the_same_bytes(people: Path, tmp_path: Path):
    done = subprocess.run(
        [sys.executable, SCRIPT, people, tmp_path, "3", "0"], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == {"killed": 3, "files": 16, "differing": []}


def test_killed_with_its_workers_it_goes_on_where_it_was(draw, people: Path, tmp_path: Path):
    run = subprocess.Popen([sys.executable, SCRIPT, people, tmp_path, "0", "0"], start_new_session=True)
    folder = tmp_path / "workers"
    while not list(folder.rglob("*.png")) and run.poll() is None:
        time.sleep(0.01)
    run.kill()
    run.wait()
    for _ in range(1000):  # workers end with their parent
        try:
            os.killpg(run.pid, 0)
        except ProcessLookupError:
            break
        time.sleep(0.01)

    draw(folder)
    draw(tmp_path / "whole")
    assert tree(folder) == tree(tmp_path / "whole")


def test_what_is_there_is_not_drawn_again_and_what_is_gone_is(draw, tmp_path: Path):
    first, last = (draw(tmp_path / "kept").photos[k].source for k in (0, -1))
    before, stamp = read_image(first), last.stat().st_mtime_ns
    first.unlink()
    draw(tmp_path / "kept")

    assert np.array_equal(read_image(first), before)
    assert last.stat().st_mtime_ns == stamp


def test_masks_of_another_drawing_are_never_used(draw, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("FACEZOO_CACHE", str(tmp_path / "cache"))
    cached = draw(None).photos[0].source
    draw(tmp_path / "kept")
    monkeypatch.setattr(engine, "drawing_version", lambda: "another")

    with pytest.raises(InputError, match="drawn by another version of facezoo; name another folder or remove this one"):
        draw(tmp_path / "kept")
    assert draw(None).photos[0].source.parent.parent != cached.parent.parent


def test_the_version_follows_code_recipes_and_mean_face(tmp_path: Path, monkeypatch):
    """Of a copy of the package, changed file by file."""
    own = Path(version.__file__).parent
    names = ["wear.py", "wearables/surgical.py", "canonical.npz"]
    found = set()
    for changed in [None, *names]:
        for path in [*own.glob("*.py"), *own.glob("wearables/*.py"), *own.glob("*.npz")]:
            target = tmp_path / path.relative_to(own)
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(path.read_bytes() + (b"#" if str(path.relative_to(own)) == changed else b""))
        monkeypatch.setattr(version, "__file__", str(tmp_path / "version.py"))
        found.add(version.drawing_version.__wrapped__())
    assert len(found) == 4


def test_other_photos_settings_and_files_are_refused(draw, tmp_path: Path):
    draw(tmp_path / "kept", [0])
    with pytest.raises(InputError, match="another seed; name another folder"):
        draw(tmp_path / "kept", seed=1)
    with pytest.raises(InputError, match="another photos"):
        draw(tmp_path / "kept", [0], photos=[Photo("a", np.zeros((112, 112, 3), np.uint8))])
    (tmp_path / "files").mkdir()
    (tmp_path / "files/a.txt").write_text("")
    with pytest.raises(InputError, match="holds other files"):
        draw(tmp_path / "files")
    for damaged in ("{", "[]"):
        (tmp_path / "kept/000000/worn.json").write_text(damaged)
        with pytest.raises(InputError, match=r"worn.json: cannot be read"):
            draw(tmp_path / "kept")


def test_a_template_that_is_painted_over_while_it_is_drawn_ends_the_drawing(people: Path, tmp_path: Path):
    texture = np.zeros((128, 128, 4), np.uint8)
    texture[60:90, 40:88] = (200, 0, 0, 255)
    write_texture(tmp_path / "own.png", texture)
    drawing = engine.Drawing(Outfit((str(tmp_path / "own.png"),), 1), Finder("arcface", "landmarks"), 0)
    write_texture(tmp_path / "own.png", texture[..., [2, 1, 0, 3]])
    photos = [Photo(path.name, path) for path in find_images(people)[:1]]

    with pytest.raises(InputError, match="the file of a template was changed while"):
        engine.masked_photos("toy", photos, np.array([0]), drawing, tmp_path / "kept", 1)
    assert not list(tmp_path.glob("kept/*/worn.json"))


def test_a_photo_that_was_replaced_by_one_of_the_same_size_is_drawn_again(draw, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("FACEZOO_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "a.bmp"
    drawn = []
    for number in range(2):
        write_image(path, np.full((112, 112, 3), 90 + number, np.uint8))
        os.utime(path, ns=(0, number))
        drawn.append(read_image(draw(None, [0], photos=[Photo("a", path)]).photos[0].source))
    assert not np.array_equal(*drawn)


@pytest.mark.parametrize(
    "landmarks",
    [None, np.full((5, 2), 50.0), np.linspace(0, 0.5, 10).reshape(5, 2), np.full((5, 2), np.nan)],
    ids=["looked for", "one point", "tiny", "not finite"],
)
def test_a_photo_without_a_face_stays_as_it_is_and_is_counted(tmp_path: Path, landmarks):
    photos = [Photo("grey", np.full((160, 120, 3), 90, np.uint8), landmarks)]
    drawing = engine.Drawing(Outfit(("surgical",), 1), Finder(None, "landmarks"), 0)
    found = engine.masked_photos("toy", photos, np.array([0]), drawing, tmp_path / "kept", 1)

    assert found.bare == 1
    assert np.array_equal(decode_image(Path(found.photos[0].source).read_bytes(), "grey"), photos[0].read())
