import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from facezoo import zoo
from facezoo.align import TEMPLATES
from facezoo.embedder import Embedder
from facezoo.image import read_image
from facezoo.registry import DETECTORS
from facezoo.sdk import FaceAnalyzer, compare, draw, main_face
from facezoo.sdk.detector import Detector
from facezoo.types import Contract, Face, InputError

TEMPLATE = np.array(TEMPLATES["arcface"].points)


class BrightSquares(Detector):
    """Finds the bright squares of 112 pixels on a grid, as if each were a face."""

    def __init__(self):
        self.seen: list[int] = []

    def many(self, images):
        self.seen.append(len(images))
        return [
            [
                Face(np.array([x, y, x + 112, y + 112], float), image[y, x, 0] / 255, TEMPLATE + np.array([x, y]))
                for y in range(0, image.shape[0], 112)
                for x in range(0, image.shape[1], 112)
                if image[y, x, 0]
            ]
            for image in images
        ]


class Brightness(Embedder):
    """Embeds a crop as its mean brightness."""

    def __init__(self):
        super().__init__(Contract(name="brightness", embedding_dim=1, flip=False, mean=(0,) * 3, std=(1,) * 3))
        self.batches: list[int] = []

    def forward(self, batch):
        self.batches.append(len(batch))
        return batch.mean(axis=(1, 2, 3))[:, None]


def squares(*values: int) -> np.ndarray:
    """One row of squares of these grey values; 0 is no face."""
    return np.repeat(np.repeat(np.array([values], np.uint8), 112, axis=0), 112, axis=1)[..., None].repeat(3, axis=2)


def test_every_face_gets_its_own_embedding():
    analyzer = FaceAnalyzer(BrightSquares(), Brightness())

    faces = analyzer(squares(10, 0, 30))

    assert [round(float(face.embedding[0])) for face in faces] == [10, 30]
    assert all(face.quality is None for face in faces)


def test_photos_are_batched_and_come_back_in_order():
    detector, embedder = BrightSquares(), Brightness()
    analyzer = FaceAnalyzer(detector, embedder, chunk=3)
    photos = [squares(5, 6), squares(0), squares(7), squares(8, 9, 10), squares(0, 11)]

    found = [[round(float(face.embedding[0])) for face in faces] for faces in analyzer.many(iter(photos))]

    assert found == [[5, 6], [], [7], [8, 9, 10], [11]]
    assert detector.seen == [3, 2]
    assert embedder.batches == [3, 4]


def test_photos_are_read_only_as_far_as_they_are_needed():
    read = []

    def photos():
        for value in range(1, 100):
            read.append(value)
            yield squares(value)

    next(FaceAnalyzer(BrightSquares(), Brightness(), chunk=4).many(photos()))

    assert len(read) <= 5


def test_no_photos_give_no_faces():
    assert list(FaceAnalyzer(BrightSquares(), Brightness()).many([])) == []


def test_the_main_face_is_located_and_embedded():
    analyzer = FaceAnalyzer(BrightSquares(), Brightness())
    photo = squares(10, 20, 30)

    assert np.allclose(analyzer.locate(photo), TEMPLATE + np.array([112, 0]))
    assert analyzer.main(photo).embedding == pytest.approx(20)
    assert analyzer.locate(squares(0, 0)) is None
    assert analyzer.main(squares(0, 0)) is None


def test_a_crop_follows_the_contract():
    analyzer = FaceAnalyzer(BrightSquares(), Brightness())
    photo = squares(0, 77)

    assert np.array_equal(analyzer.crop(photo, analyzer.detect(photo)[0]), photo[:, 112:])


def test_wrong_names_are_refused_with_the_known_ones():
    with pytest.raises(InputError, match="unknown detector 'eyes'; known: yunet"):
        FaceAnalyzer(detector="eyes").detect(squares(0))
    with pytest.raises(InputError, match=r"neither a model file .* nor one of: dlib-resnet29"):
        FaceAnalyzer(BrightSquares(), "nothing")(squares(1))


def test_models_are_loaded_at_the_first_use_and_once(monkeypatch):
    made = []
    monkeypatch.setitem(DETECTORS._factories, "squares", lambda: made.append(1) or BrightSquares())
    analyzer = FaceAnalyzer("squares", Brightness())
    assert made == []

    barrier = threading.Barrier(4)

    def detect(_):
        barrier.wait()
        return len(analyzer.detect(squares(1, 2)))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(detect, range(4))) == [2] * 4
    assert made == [1]


def test_two_embeddings_are_compared_at_the_threshold():
    a, b = np.array([3.0, 0.0]), np.array([4.0, 3.0])

    assert compare(a, b, 0.7).cosine == pytest.approx(0.8)
    assert compare(a, b, 0.7).same is True
    assert compare(a, b, 0.9).same is False
    assert compare(a, b, None).same is None
    with pytest.raises(InputError, match="threshold is 7, a cosine lies between -1 and 1"):
        compare(a, b, 7)


def test_faces_are_drawn_on_a_copy():
    photo = squares(40, 40, 40)
    faces = FaceAnalyzer(BrightSquares(), Brightness())(photo)
    drawn = draw(photo, faces)

    assert (photo == squares(40, 40, 40)).all()
    assert drawn.shape == photo.shape
    for face in faces:
        x, y = face.landmarks[0].round().astype(int)
        assert tuple(drawn[y, x]) == (255, 196, 0)
    assert np.array_equal(draw(photo, []), photo)


def test_drawing_bears_boxes_beyond_the_photo():
    photo = squares(40)
    outside = Face(np.array([-50.0, -60.0, 300.0, 300.0]), 0.5, np.array([[-5.0, 500.0]]))

    assert draw(photo, [outside], ["a label that is wider than the photo"]).shape == photo.shape


@pytest.mark.network
def test_one_analyzer_serves_several_threads():
    analyzer = FaceAnalyzer()
    photos = [read_image(zoo.get(f"photo-{name}")) for name in ("obama2", "obama3")]
    alone = [analyzer(photo)[0].embedding for photo in photos]

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda i: analyzer(photos[i % 2])[0].embedding, range(8)))

    for i, embedding in enumerate(together):
        assert np.abs(embedding - alone[i % 2]).max() < 1e-4


@pytest.mark.network
@pytest.mark.data
def test_the_main_face_of_a_benchmark_photo_is_the_one_of_the_benchmark(data_root):
    """LFW's person is the one in the centre, whoever else is in the photo."""
    analyzer = FaceAnalyzer()
    rows = (data_root / "lfw" / "landmarks.csv").read_text().splitlines()[1::40]
    for row in rows:
        name, *values = row.split(",")
        photo = read_image(data_root / "lfw" / name)
        theirs = np.array(values, float).reshape(5, 2)
        face = main_face(analyzer.detect(photo), photo.shape[:2])
        # Another person is farther off; the points themselves are another detector pass's.
        assert np.abs(face.landmarks.mean(axis=0) - theirs.mean(axis=0)).max() < 30, name
