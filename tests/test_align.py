import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facezoo.align import TEMPLATES, align, fit, similarity, template_points, warp
from facezoo.types import InputError

ARCFACE = template_points("arcface", (112, 112))


def turned(points: np.ndarray, angle: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    return points @ np.array([[cosine, sine], [-sine, cosine]]) + shift


@given(st.floats(-3.1, 3.1), st.floats(0.05, 20), st.tuples(st.floats(-500, 500), st.floats(-500, 500)))
def test_a_similarity_is_found_again(angle, scale, shift):
    matrix = similarity(turned(ARCFACE, angle, scale, shift), ARCFACE)

    back = turned(ARCFACE, angle, scale, shift) @ matrix[:, :2].T + matrix[:, 2]
    assert np.allclose(back, ARCFACE, atol=1e-6)


def test_the_similarity_is_the_least_squares_one():
    source = ARCFACE + np.random.default_rng(0).normal(0, 4, ARCFACE.shape)
    # The same problem as linear equations in a, b, tx, ty with the matrix (a, -b, tx; b, a, ty).
    x, y = source.T
    one, zero = np.ones(5), np.zeros(5)
    system = np.concatenate([np.stack([x, -y, one, zero], axis=1), np.stack([y, x, zero, one], axis=1)])
    a, b, tx, ty = np.linalg.lstsq(system, ARCFACE.T.reshape(-1), rcond=None)[0]

    assert np.allclose(similarity(source, ARCFACE), [[a, -b, tx], [b, a, ty]])


def test_many_faces_give_what_each_gives_alone():
    sources = ARCFACE + np.random.default_rng(0).normal(0, 3, (7, 5, 2))

    assert np.allclose(similarity(sources, ARCFACE), [similarity(source, ARCFACE) for source in sources])


def test_a_mirrored_face_is_not_mirrored_back():
    mirrored = ARCFACE * [-1, 1] + [112, 0]

    assert np.linalg.det(similarity(mirrored, ARCFACE)[:, :2]) > 0


def test_points_on_their_template_crop_the_image_itself():
    image = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)

    assert np.array_equal(align(image, ARCFACE), image)


def test_outside_the_photo_a_crop_is_black():
    image = np.full((112, 112, 3), 200, np.uint8)
    crop = align(image, ARCFACE - [60, 0])

    assert (crop[:, :50] == 0).all()
    assert (crop[:, 62:] == 200).all()


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_a_template_scales_with_the_crop(name):
    height, width = TEMPLATES[name].size

    assert np.allclose(template_points(name, (2 * height, 2 * width)), 2 * template_points(name, (height, width)))


def test_a_narrow_crop_is_the_square_one_less_its_sides():
    assert np.allclose(template_points("arcface", (112, 96)), ARCFACE - [8, 0])


@pytest.mark.parametrize(("size", "columns"), [((112, 96), slice(8, 104)), ((112, 112), slice(None))])
def test_a_crop_fits_another_width_by_its_middle(size, columns):
    crop = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)

    np.testing.assert_array_equal(fit(crop, size), crop[:, columns])


def test_a_crop_that_shrinks_is_averaged_and_a_narrow_one_framed():
    crop = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    means = crop.reshape(4, 2, 4, 2, 3).mean(axis=(1, 3))

    assert np.abs(fit(crop, (4, 4)) - means).max() <= 0.5
    wide = fit(crop, (8, 12))
    assert (wide[:, 2:10] == crop).all() and not wide[:, :2].any() and not wide[:, 10:].any()


def test_bad_landmarks_are_refused():
    image = np.zeros((20, 20, 3), np.uint8)
    for landmarks in (np.zeros((4, 2)), np.full((5, 2), np.nan)):
        with pytest.raises(InputError, match="expected five finite points"):
            align(image, landmarks)
    with pytest.raises(InputError, match="all points of a face coincide"):
        align(image, np.ones((5, 2)))
    with pytest.raises(InputError, match="known: arcface, arcface-upper, dlib"):
        align(image, ARCFACE, "none")


@pytest.fixture(scope="module")
def cases(golden, golden_root):
    inputs, outputs, _ = golden.load(golden_root / "align" / "landmarks_crops.npz")
    return inputs, outputs


def close(ours: np.ndarray, theirs: np.ndarray) -> bool:
    return np.abs(ours[..., :2] - theirs[..., :2]).max() <= 1e-5 and np.abs(ours[..., 2] - theirs[..., 2]).max() <= 1e-3


@pytest.mark.golden
@pytest.mark.parametrize(
    ("points", "matrix", "size"),
    [
        ("lms5", "facexzoo.matrix_5", 112),
        ("lms5", "insightface.matrix_112", 112),
        ("lms5", "insightface.matrix_224", 224),
        ("turned5", "insightface.turned_matrix_112", 112),
    ],
)
def test_matrices_are_those_of_the_references(cases, points, matrix, size):
    inputs, outputs = cases

    assert close(similarity(inputs[points], template_points("arcface", (size, size))), outputs[matrix])


@pytest.mark.golden
@pytest.mark.parametrize("crops", ["facexzoo.crop_5", "insightface.crop_112"])
def test_crops_are_those_of_the_references(cases, crops):
    inputs, outputs = cases
    for landmarks, theirs in zip(inputs["lms5"], outputs[crops], strict=False):
        away = np.abs(align(inputs["image"], landmarks).astype(int) - theirs)

        assert (away <= 1).mean() >= 0.99
        assert away.max() <= 3


@pytest.mark.golden
def test_strongly_turned_faces_are_not_mirrored(cases):
    inputs, outputs = cases
    assert (outputs["evolve.turned.determinant"] < 0).any()  # the defect of one reference

    matrices = similarity(inputs["turned5"], ARCFACE)

    assert (np.linalg.det(matrices[:, :, :2]) > 0).all()


@pytest.mark.parametrize("x", [0, 20_000, 39_900])
def test_a_very_long_photo_is_cropped_like_a_short_one(x):
    face = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    photo = np.zeros((112, 40_000, 3), np.uint8)
    photo[:, x : x + 112] = face[:, : 40_000 - x]
    short = photo[:, max(0, x - 200) : x + 300].copy()
    landmarks = turned(ARCFACE, 0.2, 1.3, (3.3, 4.4))

    crop = align(photo, landmarks + np.array([x, 0]))

    assert np.abs(crop.astype(int) - align(short, landmarks + np.array([min(x, 200), 0]))).max() <= 2
    assert crop.any()


def test_a_crop_beside_a_very_long_photo_is_black():
    photo = np.full((50, 40_000, 3), 255, np.uint8)

    assert not align(photo, ARCFACE + np.array([0, 5000])).any()


def test_a_warp_gives_the_size_it_is_asked_for():
    assert warp(np.zeros((50, 60, 3), np.uint8), np.eye(3)[:2], (30, 20)).shape == (30, 20, 3)
