import numpy as np
import pytest

from facezoo.gallery import Gallery, enroll
from facezoo.image import write_image
from facezoo.types import Contract, Face, InputError

CONTRACT = Contract(name="colors", embedding_dim=3)
RED, GREEN, BLUE = (250, 0, 0), (0, 250, 0), (0, 0, 250)


def photo(*colors):
    """One 8 x 8 block of colour for each face, side by side; the first is the largest."""
    blocks = [np.full((16, 16 if i == 0 else 8, 3), color, np.uint8) for i, color in enumerate(colors)]
    return np.concatenate([np.zeros((16, 4, 3), np.uint8), *blocks], axis=1)


def analyze(image):
    """A detector of coloured blocks whose embedding is the mean colour."""
    faces = []
    for color in (RED, GREEN, BLUE):
        rows, columns = np.nonzero((np.abs(image.astype(int) - color) < 60).all(axis=2))
        if len(rows):
            box = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], float)
            embedding = image[rows, columns].astype(np.float32).mean(axis=0)
            faces.append(Face(box, 1.0, np.zeros((5, 2)), embedding, quality=0.5))
    return faces


def largest(faces, size):
    return max(faces, key=lambda face: face.area, default=None)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "people"
    write_image(folder / "Ada/1.png", photo(RED))
    write_image(folder / "Ada/old/2.png", photo(RED, GREEN))
    write_image(folder / "Zoë.png", photo(GREEN))
    write_image(folder / "Bob/view.png", photo())
    (folder / "Bob/torn.png").write_bytes((folder / "Ada/1.png").read_bytes()[:60])
    return folder


@pytest.fixture
def gallery(tmp_path):
    with Gallery(tmp_path / "people.db", CONTRACT) as gallery:
        yield gallery


def test_folders_and_single_photos_become_people(folder, gallery):
    done = enroll(gallery, folder, analyze, largest)
    assert gallery.names() == ["Ada", "Zoë"]
    assert (done.added, done.already) == (3, 0)
    assert done.no_face == ["Bob/view.png"] and done.several == ["Ada/old/2.png"]
    assert len(done.refused) == 1 and "Bob/torn.png: the image is damaged" in done.refused[0]
    hits = gallery.search([RED, GREEN], k=1)
    assert [hits[0][0].name, hits[1][0].name] == ["Ada", "Zoë"]
    assert hits[1][0].source == str(folder / "Zoë.png")


def test_a_second_run_skips_what_is_enrolled(folder, gallery):
    enroll(gallery, folder, analyze, largest)
    write_image(folder / "Eve.png", photo(BLUE))
    (folder / "Ada/1.png").rename(folder / "Ada/renamed.png")
    seen = []
    done = enroll(gallery, folder, lambda image: seen.append(image) or analyze(image), largest)
    assert (done.added, done.already, len(seen)) == (1, 3, 2)  # Eve is new; only she and the faceless are looked at
    assert gallery.names() == ["Ada", "Eve", "Zoë"] and gallery.photos == 4


def test_an_interrupted_run_keeps_what_it_did(folder, gallery):
    def interrupted(image):
        if gallery.photos == 2:
            raise KeyboardInterrupt
        return analyze(image)

    with pytest.raises(KeyboardInterrupt):
        enroll(gallery, folder, interrupted, largest)
    assert gallery.photos == 2
    done = enroll(gallery, folder, analyze, largest)
    assert (done.added, done.already) == (1, 2)


def test_a_person_removed_can_be_enrolled_again(folder, gallery):
    enroll(gallery, folder, analyze, largest)
    gallery.remove("Ada")
    assert enroll(gallery, folder, analyze, largest).added == 2


def test_a_folder_without_photos_is_refused(tmp_path, gallery):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"expected .*/PERSON/PHOTO"):
        enroll(gallery, tmp_path / "empty", analyze, largest)
    with pytest.raises(InputError, match="no such folder"):
        enroll(gallery, tmp_path / "no", analyze, largest)
