import numpy as np
import pytest

from facezoo.data.transforms import GAP, LINE, create_transforms, draw_crops, preview_rows, sheet
from facezoo.registry import TRANSFORMS
from facezoo.types import InputError

SIZES = [(112, 112), (113, 96), (31, 224), (1, 1)]


# With these options a transform changes nothing, whatever it draws.
NEUTRAL = [
    "crop:area=(1,1),ratio=(1,1)",
    "crop:area=(1,1),ratio=(1,1),outside=black",
    "affine:degrees=0,scale=(1,1),shift=0",
    "trim:edge=0",
    "hsv:hue=(0,0),saturation=(1,1),value=(1,1)",
    "pca_noise:deviation=0",
    "solarize:threshold=(256,256)",
    "posterize:bits=(8,8)",
    "sharpness:factor=(1,1)",
    "motion_blur:length=(0,0)",
    'randaugment:magnitude=0,operations=("rotate","shear_x","color","sharpness","solarize","posterize")',
    "color_jitter:brightness=0,contrast=0,saturation=0",
    "low_resolution:scale=(1,1)",
    "blur:sigma=(0,0)",
    "noise:deviation=(0,0)",
    "erase:area=(0,0)",
    "erase:area=(0,0),fill=noise",
]


FIXED = {"flip", "grey", "invert", "equalize"}


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", TRANSFORMS.names())
def test_size_and_type_stay_and_the_given_crop_too(picture, create, name, size):
    crop = picture(*size)
    before = crop.copy()
    changed = create(name).apply(crop, np.random.default_rng(0))
    assert changed.shape == crop.shape and changed.dtype == np.uint8
    np.testing.assert_array_equal(crop, before)


@pytest.mark.parametrize("name", TRANSFORMS.names())
def test_one_generator_state_gives_one_crop(picture, create, name):
    first, again = (create(name).apply(picture(), np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("name", sorted(set(TRANSFORMS.names()) - FIXED))
def test_another_generator_state_gives_another_crop(picture, create, name):
    transform, crop = create(name), picture()
    assert not np.array_equal(*(transform.apply(crop, np.random.default_rng(seed)) for seed in (1, 2)))


@pytest.mark.parametrize("spec", NEUTRAL)
def test_zero_strength_changes_nothing(picture, create, spec):
    rng = np.random.default_rng(0)
    for size in SIZES:
        np.testing.assert_array_equal(create(spec).apply(picture(*size), rng), picture(*size))


@pytest.mark.parametrize("name", TRANSFORMS.names())
def test_probability_zero_never_and_one_always_applies(picture, create, name):
    crop = picture()
    never, always = create(f"{name}:probability=0"), create(f"{name}:probability=1")
    for seed in range(5):
        assert never(crop, np.random.default_rng(seed)) is crop
        drawn = np.random.default_rng(seed)
        drawn.random()
        np.testing.assert_array_equal(always(crop, np.random.default_rng(seed)), always.apply(crop, drawn))


def test_about_half_are_flipped(picture, create):
    crop, rng, flip = picture(), np.random.default_rng(0), create("flip")
    flipped = sum(np.array_equal(flip(crop, rng), crop[:, ::-1]) for _ in range(2000))
    assert 900 < flipped < 1100


def test_rotation_keeps_the_centre_pixel_in_place(picture, create):
    crop = picture(113, 97)
    crop[56, 48] = (10, 200, 30)
    turn = create("affine:degrees=180,scale=(1,1),shift=0,border=black")
    for seed in range(20):
        np.testing.assert_array_equal(turn.apply(crop, np.random.default_rng(seed))[56, 48], (10, 200, 30))


def test_rotation_turns_both_ways_up_to_its_limit(create):
    """The angle is read back from where a mark right of the centre goes."""
    crop = np.zeros((101, 101, 3), np.uint8)
    crop[49:52, 84:87] = 255
    turn, rng = create("affine:degrees=30,scale=(1,1),shift=0"), np.random.default_rng(0)
    angles = []
    for _ in range(300):
        rows, columns = np.nonzero(turn.apply(crop, rng)[..., 0] > 60)
        angles.append(np.degrees(np.arctan2(rows.mean() - 50, columns.mean() - 50)))
    assert -30.5 < min(angles) < -28 and 28 < max(angles) < 30.5 and abs(np.mean(angles)) < 3


def test_black_border_is_black_and_reflection_is_not(create):
    white = np.full((64, 64, 3), 255, np.uint8)
    options = "affine:degrees=45,scale=(0.5,0.5)"
    assert create(f"{options},border=black").apply(white, np.random.default_rng(0))[0, 0].max() == 0
    assert create(f"{options},border=reflect").apply(white, np.random.default_rng(0)).min() == 255


def test_grey_has_equal_channels_of_luma(picture, create):
    crop = picture()
    grey = create("grey").apply(crop, np.random.default_rng(0))
    assert np.ptp(grey, axis=2).max() == 0
    np.testing.assert_allclose(grey[..., 0], crop @ [0.299, 0.587, 0.114], atol=0.51)


def test_cropped_part_fills_the_crop(create):
    """A ramp shows which columns were kept: seven eighths of them, anywhere."""
    ramp = np.repeat(np.arange(0, 224, 2, dtype=np.uint8)[None, :, None], 112, 0).repeat(3, 2)
    crop, rng = create("crop:area=(0.765625,0.765625),ratio=(1,1)"), np.random.default_rng(0)
    lefts = []
    for _ in range(200):
        kept = crop.apply(ramp, rng)[56, :, 0].astype(float)
        assert kept[-2] - kept[1] == pytest.approx(0.875 * 109 * 2, abs=2)
        lefts.append(kept[1] / 2)
    assert min(lefts) < 2 and 12 < max(lefts) < 16


def test_a_crop_left_in_place_is_black_around(create):
    white = np.full((100, 100, 3), 255, np.uint8)
    crop, rng = create("crop:area=(0.25,0.25),ratio=(1,1),outside=black"), np.random.default_rng(0)
    for _ in range(20):
        assert np.count_nonzero(crop.apply(white, rng)[..., 0]) == pytest.approx(2500, abs=101)


def test_color_jitter_is_brightness_contrast_saturation(picture, create):
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


@pytest.mark.parametrize(
    "spec", ["low_resolution:scale=(0.2,0.2)", "blur:sigma=(2,2)", "motion_blur:length=(9,9)", "sharpness:factor=(0,0)"]
)
def test_detail_is_lost(create, spec):
    crop = np.random.default_rng(0).integers(256, size=(112, 112, 3), dtype=np.uint8)
    for seed in range(10):
        blurred = create(spec).apply(crop, np.random.default_rng(seed)).astype(float)
        assert np.abs(np.diff(blurred, axis=1)).mean() + np.abs(np.diff(blurred, axis=0)).mean() < 1.4 * detail(crop)


def test_low_jpeg_quality_changes_more(picture, create):
    crop, errors = picture(), []
    for quality in (95, 50, 5):
        stored = create(f"jpeg:quality=({quality},{quality})").apply(crop, np.random.default_rng(0))
        errors.append(np.abs(stored.astype(float) - crop).mean())
    assert errors == sorted(errors) and errors[0] < 4


def test_noise_has_the_asked_deviation_and_no_bias(create):
    grey = np.full((112, 112, 3), 128, np.uint8)
    difference = create("noise:deviation=(8,8)").apply(grey, np.random.default_rng(0)).astype(float) - 128
    assert difference.std() == pytest.approx(8, rel=0.02) and abs(difference.mean()) < 0.2


@pytest.mark.parametrize("fill", ["black", "noise"])
def test_one_rectangle_of_the_asked_area_is_erased(create, fill):
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
        ("trim:edge=0.5", "edge is 0.5"),
        ("affine:shear=2", "shear is 2.0"),
        ("hsv:hue=(0,400)", "hue"),
        ("hsv:value=(2,1)", "value"),
        ("pca_noise:deviation=-1", "deviation"),
        ("pca_noise:values=(-1,0,0)", "values"),
        ("pca_noise:vectors=((1,0,0),(1,0,0),(0,0,1))", "orthogonal"),
        ("motion_blur:length=(3,999)", "length"),
        ("autocontrast:cutoff=(0,0.5)", "cutoff"),
        ("solarize:threshold=(0,300)", "threshold"),
        ("posterize:bits=(0,8)", "bits"),
        ("sharpness:factor=(-1,1)", "factor"),
        ("randaugment:count=0", "count is 0"),
        ("randaugment:magnitude=10", "magnitude is 10.0, it must be between 0 and 9"),
        ("randaugment:fill=(0,0,300)", "fill"),
        ('randaugment:operations=("twist")', "operations is twist, it must be among shear_x"),
        ("erase:fill=pink", "fill"),
        ("mirror", "unknown transform"),
    ],
)
def test_a_wrong_option_is_named(create, spec, why):
    with pytest.raises(InputError) as error:
        create(spec)
    assert why in str(error.value)


def test_transforms_follow_one_another_in_order(picture, create):
    specs = ["erase:probability=1", "grey:probability=1", "flip:probability=1"]
    crop, rng = picture(), np.random.default_rng(1)
    wanted = crop
    for spec in specs:
        wanted = create(spec)(wanted, rng)
    np.testing.assert_array_equal(create_transforms(specs)(crop, np.random.default_rng(1)), wanted)
    assert create_transforms([])(crop, rng) is crop


def test_the_preview_has_a_row_for_each_transform_and_rows_of_all(picture):
    crops, line = [picture(seed=1), picture(seed=2)], GAP + LINE
    rows = preview_rows(crops, ["flip:probability=1", "invert:probability=1"], draws=2)
    assert [row.caption for row in rows][1:] == [
        "flip, always applied",
        "invert, always applied",
        "all in order as in training, draw 1",
        "all in order as in training, draw 2",
    ]
    np.testing.assert_array_equal(rows[1].crops[0], crops[0][:, ::-1])
    np.testing.assert_array_equal(rows[4].crops[1], 255 - crops[1][:, ::-1])
    drawn = sheet(rows[:3])
    assert drawn.shape == (3 * (112 + line), 224, 3) and drawn.dtype == np.uint8
    np.testing.assert_array_equal(drawn[line : line + 112, :112], crops[0])
    with pytest.raises(InputError, match="one size"):
        preview_rows([], ["flip"])


def test_a_long_caption_takes_more_lines(picture):
    rows = preview_rows([picture()], ["color_jitter:brightness=0.4,contrast=0.4,saturation=0.4"])
    assert sheet(rows).shape[0] > 2 * (112 + GAP + LINE)


class Pictures:
    labels = np.arange(5)

    def __len__(self):
        return 5

    def read(self, index):
        return np.full((40, 40, 3), index, np.uint8)


def test_crops_of_a_preview_are_drawn_once_each():
    drawn = [int(crop[0, 0, 0]) for crop in draw_crops(Pictures(), 3, 32, seed=1)]
    assert len(set(drawn)) == 3 and drawn == sorted(drawn)
    assert len(draw_crops(Pictures(), 50, 64)) == 5
    with pytest.raises(InputError, match="size is 8"):
        draw_crops(Pictures(), 3, 8)
    with pytest.raises(InputError, match="0 images"):
        draw_crops(Pictures(), 0, 32)


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


@pytest.mark.parametrize("name", TRANSFORMS.presets())
def test_every_preset_can_be_made_and_changed(picture, create, name):
    crop = picture()
    preset = create(f"{name}:probability=1")
    assert preset.probability == 1
    assert preset(crop, np.random.default_rng(0)).shape == crop.shape


def test_trim_takes_up_to_its_part_off_each_side(create):
    """A ramp shows which columns are left."""
    ramp = np.repeat(np.arange(0, 200, 2, dtype=np.uint8)[None, :, None], 100, 0).repeat(3, 2)
    trim, rng = create("trim:edge=0.1"), np.random.default_rng(0)
    first, last = np.array([trim.apply(ramp, rng)[50, [0, -1], 0].astype(int) for _ in range(300)]).T
    assert first.max() <= 20 and first.min() <= 1 and last.min() >= 178 and last.max() >= 197 and first.max() >= 17


def test_shear_slides_rows_and_leaves_the_middle_one(create):
    line = np.zeros((101, 101, 3), np.uint8)
    line[:, 50] = 255
    sheared = create("affine:degrees=0,scale=(1,1),shift=0,shear=0.4,border=black").apply(
        line, np.random.default_rng(1)
    )
    assert sheared[50, 50, 0] == 255
    slide = sheared[90, :, 0].argmax() - sheared[10, :, 0].argmax()
    assert 0 < abs(slide) <= 32


def test_motion_blur_runs_along_a_line_of_its_length(create):
    dot = np.zeros((61, 61, 3), np.uint8)
    dot[30, 30] = 255
    blur = create("motion_blur:length=(20,20)")
    for seed in range(5):
        streak = blur.apply(dot, np.random.default_rng(seed))[..., 0]
        rows, columns = np.nonzero(streak > 3)
        length = np.hypot(np.ptp(rows), np.ptp(columns)) * 112 / 61
        assert 16 < length < 26 and len(rows) < 60
        assert int(streak.sum()) == pytest.approx(255, abs=30)
