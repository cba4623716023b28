import cv2
import numpy as np
import pytest

from facezoo import zoo
from facezoo.image import find_images, read_image
from facezoo.registry import DETECTORS
from facezoo.sdk import main_face
from facezoo.sdk.detector import iou, suppress
from facezoo.sdk.yunet import STRIDES, decode
from facezoo.types import Face, InputError


def face(x0, y0, x1, y1, score=0.9):
    return Face(np.array([x0, y0, x1, y1], float), score, np.zeros((5, 2)))


def test_overlap_of_known_boxes():
    boxes = np.array([[0, 0, 2, 2], [1, 0, 3, 2], [5, 5, 6, 6], [1, 1, 1, 1]], float)

    assert np.allclose(iou(boxes[0], boxes), [1, 1 / 3, 0, 0])


def test_suppression_keeps_what_brute_force_keeps():
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 60, (200, 2))
    boxes, scores = np.concatenate([low, low + rng.uniform(5, 40, (200, 2))], axis=1), rng.uniform(size=200)
    kept: list[int] = []
    for i in sorted(range(200), key=lambda i: -scores[i]):
        if all(iou(boxes[i], boxes[[j]])[0] <= 0.3 for j in kept):
            kept.append(i)

    assert suppress(boxes, scores, 0.3).tolist() == kept


def test_nothing_suppressed_of_nothing():
    assert suppress(np.empty((0, 4)), np.empty(0), 0.3).tolist() == []


def test_one_cell_decodes_to_the_face_it_describes():
    outputs = {}
    for stride in STRIDES:
        cells = (64 // stride) * (96 // stride)
        for kind, width in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
            outputs[f"{kind}_{stride}"] = np.zeros((1, cells, width), np.float32)
    cell = 1 * (96 // 16) + 2  # row 1, column 2 of stride 16
    outputs["cls_16"][0, cell], outputs["obj_16"][0, cell] = 0.9, 0.4
    outputs["bbox_16"][0, cell] = [0.5, 0.25, np.log(2), np.log(3)]
    outputs["kps_16"][0, cell] = np.arange(10) / 10

    boxes, scores, landmarks = decode(outputs, (64, 96))

    best = int(scores[0].argmax())
    assert scores[0, best] == pytest.approx(0.6)
    assert np.allclose(boxes[0, best], [40 - 16, 20 - 24, 40 + 16, 20 + 24])
    assert np.allclose(landmarks[0, best], (np.arange(10).reshape(5, 2) / 10 + [2, 1]) * 16)


def test_the_main_face_is_large_and_near_the_centre():
    centre, corner, small = face(90, 90, 150, 150), face(0, 0, 70, 70), face(118, 118, 122, 122)

    assert main_face([corner, small, centre], (240, 240)) is centre
    assert main_face([corner], (240, 240)) is corner
    assert main_face([], (240, 240)) is None


@pytest.mark.parametrize("spec", ["yunet:score=0", "yunet:nms=2", "yunet:max_side=8"])
def test_options_out_of_range_are_refused(spec):
    with pytest.raises(InputError, match=r"^yunet: "):
        DETECTORS.create(spec)


@pytest.fixture(scope="module")
def detect():
    return DETECTORS.create("yunet")


@pytest.fixture(scope="module")
def portrait():
    return read_image(zoo.get("photo-obama"))


@pytest.mark.network
class TestYuNet:
    def test_a_portrait_has_one_face_with_points_in_order(self, detect, portrait):
        (found,) = detect(portrait)

        assert found.score > 0.9
        (left, right, nose, mouth_left, mouth_right) = found.landmarks
        assert left[0] < nose[0] < right[0]
        assert max(left[1], right[1]) < nose[1] < min(mouth_left[1], mouth_right[1])
        assert mouth_left[0] < mouth_right[0]
        assert (found.landmarks > found.box[:2]).all()
        assert (found.landmarks < found.box[2:]).all()

    def test_an_empty_image_has_no_face(self, detect):
        assert detect(np.zeros((0, 0, 3), np.uint8)) == []
        assert detect(np.zeros((1, 1, 3), np.uint8)) == []
        assert detect(np.full((200, 300, 3), 127, np.uint8)) == []

    @pytest.mark.parametrize("image", [np.zeros((8, 8)), np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8, 3)), None])
    def test_what_is_no_rgb_image_is_refused(self, detect, image):
        with pytest.raises(InputError, match="must be uint8 RGB"):
            detect(image)

    def test_images_of_any_sizes_are_batched_in_order(self, detect, portrait):
        images = [portrait, portrait[:, ::-1], np.zeros((50, 70, 3), np.uint8), portrait[:600], portrait]
        together = detect.many(images)

        assert [len(faces) for faces in together] == [1, 1, 0, 1, 1]
        for image, faces in zip(images, together, strict=True):
            for one, alone in zip(faces, detect(image), strict=True):
                assert np.allclose(one.landmarks, alone.landmarks, atol=0.01)

    def test_a_large_photo_gives_its_own_pixels(self, detect, portrait):
        (small,), (large,) = detect(portrait), detect(cv2.resize(portrait, None, fx=3, fy=3))

        assert np.allclose(large.box / 3, small.box, atol=12)

    @pytest.mark.parametrize("margin", [0.05, 0.3])
    def test_a_face_that_fills_a_large_photo_is_found_whole_and_once(self, detect, portrait, margin):
        (found,) = detect(portrait)
        side = (found.box[2:] - found.box[:2]).max()
        x, y = (found.box[:2] + found.box[2:]) / 2
        half = (0.5 + margin) * side
        close = portrait[max(0, int(y - half)) : int(y + half), max(0, int(x - half)) : int(x + half)]
        close = cv2.resize(close, (1600, 1600))

        (again,) = detect(close)

        assert (again.box[2:] - again.box[:2]).max() > 700

    def test_faces_are_sorted_by_score(self, detect, portrait):
        pair = np.hstack([cv2.resize(portrait, (150, 190)), cv2.resize(portrait[:, ::-1], (150, 190))])
        scores = [found.score for found in detect(pair)]

        assert len(scores) == 2
        assert scores == sorted(scores, reverse=True)

    @pytest.mark.data
    def test_boxes_and_points_are_those_of_opencv(self, data_root):
        detect = DETECTORS.create("yunet:voting=false,close_ups=false,max_side=4000")
        compared = 0
        for path in [*find_images(data_root / "photos"), zoo.get("photo-obama"), zoo.get("photo-biden")]:
            image = read_image(path)
            height, width = image.shape[:2]
            reference = cv2.FaceDetectorYN.create(str(zoo.get("yunet")), "", (width, height), 0.6, 0.3, 5000)
            theirs = reference.detect(np.ascontiguousarray(image[..., ::-1]))[1]
            ours = detect(image)
            assert len(ours) == len(theirs)
            for found, row in zip(ours, theirs, strict=True):
                assert np.allclose(found.box, [*row[:2], *(row[:2] + row[2:4])], atol=0.1)
                assert np.allclose(found.landmarks.ravel(), row[4:14], atol=0.1)
                assert found.score == pytest.approx(row[14], abs=1e-4)
                compared += 1
        assert compared >= 9

    @pytest.mark.data
    def test_voting_steadies_the_landmarks(self, data_root):
        """The same photo at two scales: the points differ less with voting than without."""
        plain, voting = DETECTORS.create("yunet:voting=false"), DETECTORS.create("yunet")
        photos = sorted((data_root / "lfw").glob("A*/*_0001.jpg"))[:30]
        away = {plain: 0.0, voting: 0.0}
        for path in photos:
            image = read_image(path)
            other = cv2.resize(image, None, fx=1.2, fy=1.2)
            for detect in away:
                points = [main_face(detect(i), i.shape[:2]).landmarks for i in (image, other)]
                away[detect] += np.abs(points[0] - points[1] / 1.2).mean()
        assert away[voting] < 0.8 * away[plain]

    @pytest.mark.data
    def test_masked_faces_are_found(self, detect, data_root):
        for name in ("test3_mask.jpg", "test4_mask.jpg"):
            assert len(detect(read_image(data_root / "photos" / name))) == 2
