import json
import shutil

import numpy as np
import pytest

from facezoo import zoo
from facezoo.files import write_bytes
from facezoo.gallery import Gallery
from facezoo.image import write_image
from facezoo.types import Contract


@pytest.fixture
def path(tmp_path):
    """A gallery of two people."""
    with Gallery(tmp_path / "people.db", Contract(name="toy", embedding_dim=2, threshold=0.5)) as gallery:
        gallery.add("Ada", np.eye(2))
        gallery.add("Bob", [1, 1])
    return tmp_path / "people.db"


def test_info_tells_what_a_gallery_holds(run, path):
    code, out, _ = run("gallery", "info", path, "--json")
    facts = json.loads(out)
    assert code == 0 and (facts["people"], facts["photos"], facts["model"]) == (2, 3, "toy")
    code, out, _ = run("gallery", "info", path)
    assert code == 0 and "photos          3" in out and "threshold       0.5" in out


def test_names_lists_the_people(run, path):
    assert run("gallery", "names", path)[:2] == (0, "Ada\nBob\n")
    assert json.loads(run("gallery", "names", path, "--json")[1]) == ["Ada", "Bob"]


def test_remove_takes_all_named_people_or_none(run, path):
    code, _, error = run("gallery", "remove", path, "Ada", "Bobb")
    assert code == 2 and "no identity 'Bobb'; there is Bob" in error
    assert run("gallery", "names", path)[1] == "Ada\nBob\n"
    code, out, _ = run("gallery", "remove", path, "Ada")
    assert (code, out) == (0, "people removed: 1, with 2 photos; left: 1\n")


def test_the_wrong_order_and_missing_files_are_one_sentence(run, path, tmp_path):
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"\xff\xd8 no database" * 99)
    empty = tmp_path / "empty"
    empty.mkdir()
    for tokens, why in (
        (("enroll", tmp_path, path), "write facezoo enroll GALLERY FOLDER"),
        (("enroll", tmp_path / "new.db", tmp_path / "nobody"), "nobody: no such folder"),
        (("enroll", tmp_path / "new.db", photo), "photo.jpg: is a file, not a folder"),
        (("enroll", tmp_path / "new.db", empty), "no photo in it; expected"),
        (("search", photo, path), "not a gallery"),
        (("search", tmp_path / "new.db", photo), "no such gallery"),
        (("search", path, photo), "does not say how to load its model toy; give --model"),
        (("gallery", "info", tmp_path / "new.db"), "no such gallery"),
    ):
        code, out, error = run(*tokens)
        assert code == 2 and why in error and error.count("\n") == 1 and out == ""
    assert not (tmp_path / "new.db").exists()


@pytest.mark.network
def test_enroll_ends_with_2_only_if_nobody_is_enrolled_at_all(run, tmp_path):
    people, gallery = tmp_path / "people", tmp_path / "people.db"
    write_image(people / "Ada" / "blank.png", np.full((90, 120, 3), 200, np.uint8))
    write_bytes(people / "Ada" / "bad.jpg", b"x")

    code, out, error = run("enroll", gallery, people)
    assert code == 2 and "photos without a face: 1" in out and "photos that could not be used: 1" in out
    assert error.splitlines()[-1].startswith(f"facezoo: {people}: no photo in it could be enrolled, 1 are without")

    write_bytes(people / "Ada" / "good.jpg", zoo.get("photo-obama").read_bytes())
    for added in (1, 0):
        code, out, _ = run("enroll", gallery, people, "--json")
        assert (code, json.loads(out)["added"]) == (0, added)


@pytest.mark.data
@pytest.mark.network
def test_people_are_enrolled_and_found_again(run, data_root, tmp_path):
    people, gallery = tmp_path / "people", tmp_path / "people.db"
    lfw = data_root / "lfw"
    known = sorted(folder for folder in lfw.iterdir() if folder.is_dir() and len(list(folder.iterdir())) >= 4)[:8]
    for person in known:
        shutil.copytree(person, people / person.name)
    probes = [people / person.name / sorted(person.iterdir())[-1].name for person in known]
    for number, probe in enumerate(probes):
        probe.rename(tmp_path / f"probe{number}.jpg")
    stranger = next(folder for folder in sorted(lfw.iterdir()) if folder.is_dir() and folder not in known)
    (people / "torn.jpg").write_bytes(probes[0].with_name(sorted(known[0].iterdir())[0].name).read_bytes()[:500])

    code, out, _ = run("enroll", gallery, people, "--json")
    first = json.loads(out)
    assert code == 0 and first["people"] == 8 and first["added"] == first["photos"] >= 24
    assert len(first["refused"]) == 1 and "torn.jpg" in first["refused"][0]
    code, out, _ = run("enroll", gallery, people)
    assert f"0 photos enrolled, {first['added']} were there already" in out

    photos = [tmp_path / f"probe{number}.jpg" for number in range(8)] + [next(stranger.iterdir())]
    code, out, error = run("search", gallery, *photos, tmp_path / "none.jpg", "--k", 2, "--json")
    assert code == 2 and "none.jpg: no such file" in error
    *found, unknown, refused = json.loads(out)
    assert "no such file" in refused["error"]
    named = [{face["hits"][0]["name"] for face in photo["faces"] if face["hits"][0]["known"]} for photo in found]
    assert sum(person.name in names for person, names in zip(known, named)) >= 7
    assert all(names <= {person.name} for person, names in zip(known, named))
    assert not any(hit["known"] for face in unknown["faces"] for hit in face["hits"])
