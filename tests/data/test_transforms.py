import cv2
import numpy as np
import pytest

from facezoo.data.transforms import create_transforms, preview
from facezoo.registry import TRANSFORMS
from facezoo.types import InputError

SIZES = [(112, 112), (113, 96), (31, 224), (1, 1)]

# With these options a transform changes nothing, whatever it draws.
NEUTRAL = [
    "crop:area=(1,1),ratio=(1,1)",
    "crop:area=(1,1),ratio=(1,1),outside=black",
    "affine:degrees=0,scale=(1,1),shift=0",
    "color_jitter:brightness=0,contrast=0,saturation=0",
    "low_resolution:scale=(1,1)",
    "blur:sigma=(0,0)",
    "noise:deviation=(0,0)",
    "erase:area=(0,0)",
    "erase:area=(0,0),fill=noise",
]


def picture(height=112, width=112, seed=0):
    """A smooth random picture, so that interpolation does not dominate."""
    noise = np.random.default_rng(seed).integers(256, size=(8, 8, 3), dtype=np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)


def create(spec):
    return create_transforms([spec]).transforms[0]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", TRANSFORMS.names())
def test_size_and_type_stay_and_the_given_crop_too(name, size):
    crop = picture(*size)
    before = crop.copy()
    changed = create(name).apply(crop, np.random.default_rng(0))
    assert changed.shape == crop.shape and changed.dtype == np.uint8
    np.testing.assert_array_equal(crop, before)


@pytest.mark.parametrize("name", TRANSFORMS.names())
def test_one_generator_state_gives_one_crop(name):
    first, again = (create(name).apply(picture(), np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("name", sorted(set(TRANSFORMS.names()) - {"flip", "grey"}))
def test_another_generator_state_gives_another_crop(name):
    transform, crop = create(name), picture()
    assert not np.array_equal(*(transform.apply(crop, np.random.default_rng(seed)) for seed in (1, 2)))


@pytest.mark.parametrize("spec", NEUTRAL)
def test_zero_strength_changes_nothing(spec):
    rng = np.random.default_rng(0)
    for size in SIZES:
        np.testing.assert_array_equal(create(spec).apply(picture(*size), rng), picture(*size))


@pytest.mark.parametrize("name", TRANSFORMS.names())
def test_probability_zero_never_and_one_always_applies(name):
    crop = picture()
    never, always = create(f"{name}:probability=0"), create(f"{name}:probability=1")
    for seed in range(5):
        assert never(crop, np.random.default_rng(seed)) is crop
        drawn = np.random.default_rng(seed)
        drawn.random()
        np.testing.assert_array_equal(always(crop, np.random.default_rng(seed)), always.apply(crop, drawn))


def test_about_half_are_flipped():
    crop, rng, flip = picture(), np.random.default_rng(0), create("flip")
    flipped = sum(np.array_equal(flip(crop, rng), crop[:, ::-1]) for _ in range(2000))
    assert 900 < flipped < 1100


def test_rotation_keeps_the_centre_pixel_in_place():
    crop = picture(113, 97)
    crop[56, 48] = (10, 200, 30)
    turn = create("affine:degrees=180,scale=(1,1),shift=0,border=black")
    for seed in range(20):
        np.testing.assert_array_equal(turn.apply(crop, np.random.default_rng(seed))[56, 48], (10, 200, 30))


def test_rotation_turns_both_ways_up_to_its_limit():
    """The angle is read back from where a mark right of the centre goes."""
    crop = np.zeros((101, 101, 3), np.uint8)
    crop[49:52, 84:87] = 255
    turn, rng = create("affine:degrees=30,scale=(1,1),shift=0"), np.random.default_rng(0)
    angles = []
    for _ in range(300):
        rows, columns = np.nonzero(turn.apply(crop, rng)[..., 0] > 60)
        angles.append(np.degrees(np.arctan2(rows.mean() - 50, columns.mean() - 50)))
    assert -30.5 < min(angles) < -28 and 28 < max(angles) < 30.5 and abs(np.mean(angles)) < 3


def test_black_border_is_black_and_reflection_is_not():
    white = np.full((64, 64, 3), 255, np.uint8)
    options = "affine:degrees=45,scale=(0.5,0.5)"
    assert create(f"{options},border=black").apply(white, np.random.default_rng(0))[0, 0].max() == 0
    assert create(f"{options},border=reflect").apply(white, np.random.default_rng(0)).min() == 255


def test_grey_has_equal_channels_of_luma():
    crop = picture()
    grey = create("grey").apply(crop, np.random.default_rng(0))
    assert np.ptp(grey, axis=2).max() == 0
    np.testing.assert_allclose(grey[..., 0], crop @ [0.299, 0.587, 0.114], atol=0.51)


def test_cropped_part_fills_the_crop():
    """A ramp shows which columns were kept: seven eighths of them, anywhere."""
    ramp = np.repeat(np.arange(0, 224, 2, dtype=np.uint8)[None, :, None], 112, 0).repeat(3, 2)
    crop, rng = create("crop:area=(0.765625,0.765625),ratio=(1,1)"), np.random.default_rng(0)
    lefts = []
    for _ in range(200):
        kept = crop.apply(ramp, rng)[56, :, 0].astype(float)
        assert kept[-2] - kept[1] == pytest.approx(0.875 * 109 * 2, abs=2)
        lefts.append(kept[1] / 2)
    assert min(lefts) < 2 and 12 < max(lefts) < 16


def test_a_crop_left_in_place_is_black_around():
    white = np.full((100, 100, 3), 255, np.uint8)
    crop, rng = create("crop:area=(0.25,0.25),ratio=(1,1),outside=black"), np.random.default_rng(0)
    for _ in range(20):
        assert np.count_nonzero(crop.apply(white, rng)[..., 0]) == pytest.approx(2500, abs=101)


def test_color_jitter_is_brightness_contrast_saturation():
    """Against the three steps written out, on a picture far from black and white."""
    crop, rng = picture() // 4 + 90, np.random.default_rng(5)
    jittered = create("color_jitter:brightness=0.2,contrast=0.3,saturation=0.4").apply(crop, rng)
    brightness, contrast, saturation = 1 + np.random.default_rng(5).uniform([-0.2, -0.3, -0.4], [0.2, 0.3, 0.4])
    luma = np.array([0.299, 0.587, 0.114])
    wanted = crop * brightness
    mean = (wanted @ luma).mean()
    wanted = mean + contrast * (wanted - mean)
    grey = (wanted @ luma)[..., None]
    wanted = grey + saturation * (wanted - grey)
    np.testing.assert_allclose(jittered, np.clip(wanted, 0, 255), atol=0.55)


def detail(crop):
    return np.abs(np.diff(crop.astype(float), axis=1)).mean()


@pytest.mark.parametrize("spec", ["low_resolution:scale=(0.2,0.2)", "blur:sigma=(2,2)"])
def test_detail_is_lost(spec):
    crop = np.random.default_rng(0).integers(256, size=(112, 112, 3), dtype=np.uint8)
    for seed in range(10):
        assert detail(create(spec).apply(crop, np.random.default_rng(seed))) < 0.6 * detail(crop)


def test_low_jpeg_quality_changes_more():
    crop, errors = picture(), []
    for quality in (95, 50, 5):
        stored = create(f"jpeg:quality=({quality},{quality})").apply(crop, np.random.default_rng(0))
        errors.append(np.abs(stored.astype(float) - crop).mean())
    assert errors == sorted(errors) and errors[0] < 4


def test_noise_has_the_asked_deviation_and_no_bias():
    grey = np.full((112, 112, 3), 128, np.uint8)
    difference = create("noise:deviation=(8,8)").apply(grey, np.random.default_rng(0)).astype(float) - 128
    assert difference.std() == pytest.approx(8, rel=0.02) and abs(difference.mean()) < 0.2


@pytest.mark.parametrize("fill", ["black", "noise"])
def test_one_rectangle_of_the_asked_area_is_erased(fill):
    white = np.full((112, 112, 3), 255, np.uint8)
    erase = create(f"erase:area=(0.1,0.1),ratio=(1,1),fill={fill}")
    rows, columns = np.nonzero((erase.apply(white, np.random.default_rng(0)) < 255).any(axis=2))
    assert np.ptp(rows) + 1 == np.ptp(columns) + 1 == round(112 * 0.1**0.5)


@pytest.mark.parametrize(
    "spec, why",
    [
        ("flip:probability=2", "probability is 2.0, it must be between 0 and 1"),
        ("affine:degrees=270", "degrees"),
        ("affine:scale=(2,1)", "scale"),
        ("blur:sigma=(-1,1)", "sigma"),
        ("jpeg:quality=(0,90)", "quality"),
        ("noise:deviation=(0,1000)", "deviation"),
        ("erase:area=(0,2)", "area"),
        ("erase:fill=pink", "fill"),
        ("mirror", "unknown transform"),
    ],
)
def test_a_wrong_option_is_named(spec, why):
    with pytest.raises(InputError) as error:
        create(spec)
    assert why in str(error.value)


def test_transforms_follow_one_another_in_order():
    specs = ["erase:probability=1", "grey:probability=1", "flip:probability=1"]
    crop, rng = picture(), np.random.default_rng(1)
    wanted = crop
    for spec in specs:
        wanted = create(spec)(wanted, rng)
    np.testing.assert_array_equal(create_transforms(specs)(crop, np.random.default_rng(1)), wanted)
    assert create_transforms([])(crop, rng) is crop


def test_the_preview_has_a_row_for_each_transform():
    sheet = preview([picture(seed=1), picture(seed=2)], ["flip", "grey"])
    assert sheet.shape == (3 * (112 + 14), 224, 3) and sheet.dtype == np.uint8
    np.testing.assert_array_equal(sheet[14 + 126 : 2 * 126, :112], picture(seed=1)[:, ::-1])
    with pytest.raises(InputError, match="one size"):
        preview([], ["flip"])


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("color_jitter:contrast=2", "transform color_jitter: contrast is 2.0"),
        ("low_resolution:scale=(0.5,3)", "transform low_resolution: scale is "),
        ("crop:probability=2", "transform crop: probability is 2.0"),
    ],
)
def test_a_refused_option_names_the_transform_as_it_is_written(spec, words):
    with pytest.raises(InputError) as caught:
        create_transforms([spec])
    assert str(caught.value).startswith(words)
