import cv2
import numpy as np
import pytest

from facezoo.align import similarity, template_points
from facezoo.data.accessories import Accessory
from facezoo.data.canvas import FACE, Canvas, curve, mirrored, stroke, turn_of
from facezoo.data.transforms import create_transforms
from facezoo.registry import TRANSFORMS
from facezoo.types import InputError

WORN = ["glasses", "hat", "headscarf", "mask", "sunglasses"]
STEADY = ["glasses:jitter=0", "hat:jitter=0,kind=cap", "headscarf:jitter=0", "mask:jitter=0", "sunglasses:jitter=0"]


def create(spec):
    return create_transforms([spec]).transforms[0]


def skin(height=112, width=112, brightness=170):
    """A plain crop: what is drawn is what differs."""
    return np.full((height, width, 3), (brightness, brightness * 0.75, brightness * 0.65), np.uint8)


def changed(spec, crop=None, seed=0):
    """Where (H, W) the crop differs by more than its shadow would."""
    crop = skin() if crop is None else crop
    drawn = create(spec).apply(crop, np.random.default_rng(seed))
    return np.abs(drawn.astype(int) - crop).max(axis=2) > 6


def test_these_are_all():
    assert [name for name in TRANSFORMS.names() if isinstance(create(name), Accessory)] == WORN


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", ["surgical", "ffp2", "cloth"])
def test_a_mask_covers_mouth_and_nose_and_leaves_the_eyes(kind, seed):
    covered = changed(f"mask:kind={kind},color=black", seed=seed)
    eyes, nose, mouth = FACE[:2], FACE[2], FACE[3:]
    for x, y in np.rint([nose, *mouth]).astype(int):
        assert covered[y + 1, x]
    assert not any(covered[int(y) - 3 : int(y) + 3, int(x) - 5 : int(x) + 5].any() for x, y in eyes)


@pytest.mark.parametrize("seed", range(6))
def test_sunglasses_cover_the_eyes_and_leave_the_mouth(seed):
    covered = changed("sunglasses", seed=seed)
    assert all(covered[round(y), round(x)] for x, y in FACE[:2]) and not covered[80:].any()


@pytest.mark.parametrize("seed", range(6))
def test_glasses_leave_the_eyes_to_be_seen(seed):
    crop = skin()
    for x, y in np.rint(FACE[:2]).astype(int):
        crop[y - 2 : y + 2, x - 2 : x + 2] = 20
    drawn = create("glasses:jitter=0").apply(crop, np.random.default_rng(seed))
    assert changed("glasses:jitter=0", crop, seed).mean() > 0.01
    for x, y in np.rint(FACE[:2]).astype(int):
        assert drawn[y - 1 : y + 1, x - 1 : x + 1].max() < 100


@pytest.mark.parametrize("kind", ["cap", "beanie", "brim"])
def test_a_hat_covers_the_top_and_leaves_the_eyes(kind):
    for seed in range(4):
        drawn = create(f"hat:kind={kind},color=black").apply(skin(), np.random.default_rng(seed))
        assert drawn[:12, 40:72].max() < 90 and drawn[56:, :].min() > 90


def test_a_headscarf_goes_around_the_face():
    for seed in range(4):
        covered = changed("headscarf:color=black,jitter=0", seed=seed)
        assert covered[5, 56] and covered[60, 10] and covered[60, 102] and not covered[48:92, 46:66].any()


@pytest.mark.parametrize("spec", STEADY)
def test_the_same_thing_is_drawn_in_every_size(spec):
    """Drawn at 224 and scaled down it is what is drawn at 112, but for the finest lines."""
    small = create(spec).apply(skin(), np.random.default_rng(3))
    large = create(spec).apply(skin(224, 224), np.random.default_rng(3))
    halved = cv2.resize(large, (112, 112), interpolation=cv2.INTER_AREA)
    difference = np.abs(halved.astype(int) - small).max(axis=2)
    assert difference.mean() < 3 and np.quantile(difference, 0.97) < 25


@pytest.mark.parametrize("name", WORN)
@pytest.mark.parametrize("size", [(32, 32), (112, 96), (160, 160), (300, 224)], ids=str)
def test_any_size_of_crop_is_drawn_on(name, size):
    crop = skin(*size)
    before = crop.copy()
    drawn = create(name).apply(crop, np.random.default_rng(1))
    assert drawn.shape == crop.shape and drawn.dtype == np.uint8 and not np.array_equal(drawn, crop)
    np.testing.assert_array_equal(crop, before)


@pytest.mark.parametrize("name", WORN)
def test_each_seed_wears_another(name):
    drawn = [create(name).apply(skin(), np.random.default_rng(seed)) for seed in range(8)]
    assert len({picture.tobytes() for picture in drawn}) == 8
    again = create(name).apply(skin(), np.random.default_rng(5))
    np.testing.assert_array_equal(again, drawn[5])


def test_cloth_is_lit_as_the_face_is():
    """White cloth on a dark photo is dark, and darker on the side that is."""
    spec = "mask:jitter=0,kind=cloth,color=white"
    bright, dark = (create(spec).apply(skin(brightness=b), np.random.default_rng(0)) for b in (170, 60))
    assert dark[92, 56].mean() < 0.6 * bright[92, 56].mean()
    slope = np.linspace(60, 200, 112)[None, :, None] * np.array([1, 0.75, 0.65])
    sided = create(spec).apply(np.repeat(slope, 112, 0).astype(np.uint8), np.random.default_rng(0))
    assert sided[85:95, 32:40].mean() < 0.8 * sided[85:95, 72:80].mean()


def test_cloth_has_the_noise_of_the_photo():
    rng = np.random.default_rng(0)
    noisy = np.clip(skin() + rng.normal(0, 12, (112, 112, 1)), 0, 255).astype(np.uint8)
    spec = "mask:jitter=0,kind=cloth,color=grey"
    clean, grained = (create(spec).apply(crop, np.random.default_rng(0)) for crop in (skin(), noisy))

    def roughness(crop):
        patch = crop[88:104, 40:72].astype(float).mean(axis=2)
        return (patch - cv2.GaussianBlur(patch, (0, 0), 2)).std()

    assert roughness(clean) < 2 < 4 < roughness(grained) < 14


def test_what_is_worn_follows_given_landmarks():
    """On a photo where the face lies elsewhere, turned and larger."""
    turn = np.array([[1.5, -0.4], [0.4, 1.5]])
    points = FACE @ turn.T + (90, 30)
    photo = skin(300, 300)
    drawn = create("sunglasses").wear(photo, points, np.random.default_rng(0))
    covered = np.abs(drawn.astype(int) - photo).max(axis=2) > 40
    assert all(covered[round(y), round(x)] for x, y in points[:2])
    assert not any(covered[round(y), round(x)] for x, y in points[3:])


def test_on_a_turned_head_the_centre_line_moves_with_the_nose_and_the_outline_against_it():
    frontal = similarity(FACE, FACE)
    nose = FACE[2] + (8, 3)
    assert turn_of(frontal, FACE[2]) == pytest.approx(0, abs=1e-9) and turn_of(frontal, nose) == pytest.approx(8)
    straight, bent = (Canvas(skin(), frontal, np.random.default_rng(0), turn) for turn in (0, 8))
    points = np.array([(56.0, 70.0), (10.0, 70.0), (102.0, 70.0)])
    np.testing.assert_allclose(straight.points(points), points, atol=1e-9)
    moved = bent.points(points) - points
    assert 2 < moved[0, 0] < 8 and (moved[1:, 0] < -15).all() and abs(moved[:, 1]).max() < 1e-9


@pytest.mark.parametrize("template, size", [("dlib", (150, 150)), ("arcface", (112, 112))])
def test_a_template_moves_the_thing_to_where_its_eyes_are(template, size):
    crop = skin(*size)
    covered = changed(f"sunglasses:jitter=0,template={template}", crop)
    assert all(covered[round(y), round(x)] for x, y in template_points(template, size)[:2])


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("mask:jitter=11", "transform mask: jitter is 11.0, it must be between 0 and 10"),
        ("mask:kind=veil", "kind"),
        ("hat:color=neon", "color"),
        ("sunglasses:opacity=(0.9,0.1)", "transform sunglasses: opacity"),
        ("glasses:template=none", "unknown alignment template 'none'"),
    ],
)
def test_a_wrong_option_is_refused(spec, words):
    with pytest.raises(InputError, match=words):
        create(spec)


@pytest.mark.parametrize("points", [np.zeros((5, 2)), np.zeros((4, 2)), np.full((5, 2), np.nan)])
def test_landmarks_that_are_none_are_refused(points):
    with pytest.raises(InputError, match="landmarks"):
        create("mask").wear(skin(), points, np.random.default_rng(0))


def test_a_curve_goes_through_its_points():
    points = ((0, 0), (10, 5), (20, 0), (30, 9))
    for closed in (True, False):
        line = curve(*points, closed=closed, steps=5)
        assert len(line) == (20 if closed else 16)
        np.testing.assert_allclose(line[::5][:4], points[: len(line[::5][:4])])
    np.testing.assert_allclose(curve(*points, closed=False)[-1], points[-1])


def test_a_stroke_has_its_width_and_a_mirror_image():
    outline = stroke(np.array([(10.0, 50.0), (20, 50), (30, 50)]), 4)
    assert np.ptp(outline[:, 1]) == 4 and np.ptp(outline[:, 0]) == 20
    np.testing.assert_allclose(mirrored(outline)[:, 0], 112 - outline[:, 0])


def test_coverage_is_the_area_of_the_outline_and_has_holes():
    canvas = Canvas(skin(), similarity(FACE, FACE), np.random.default_rng(0))
    square = np.array([(30.0, 30.0), (60, 30), (60, 60), (30, 60)])
    hole = (square - 45) / 2 + 45
    assert canvas.shape_of(square).sum() / 255 == pytest.approx(900, rel=0.03)
    assert canvas.shape_of((square, hole)).sum() / 255 == pytest.approx(675, rel=0.04)
    assert canvas.shape_of(square, hole).sum() / 255 == pytest.approx(900, rel=0.03)
