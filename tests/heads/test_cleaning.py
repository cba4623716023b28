"""Sub-centres drop wrong labels and leave one centre a class."""

import numpy as np
import pytest

from facezoo.heads.cleaning import clean, dominant_centres
from facezoo.types import InputError

# Two classes in the plane with two sub-centres each; an image is its angle in degrees.
CENTRES = np.array([[0, 170], [90, 300]])
IMAGES = np.array([0, 10, -74, 160, 88, 295, 305, 299, 200])
LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1])


def plane(degrees, length=1.0):
    turn = np.radians(degrees)
    return length * np.stack([np.cos(turn), np.sin(turn)], axis=-1)


def test_images_far_from_the_dominant_sub_centre_are_dropped():
    found = clean(plane(CENTRES, 3.0), plane(IMAGES, 20.0), LABELS)

    assert found.images.tolist() == [[3, 1], [1, 4]]
    assert found.dominant.tolist() == [0, 1]
    assert found.angles == pytest.approx([0, 10, 74, 160, 148, 5, 5, 1, 100])
    assert found.kept.tolist() == [True, True, True, False, False, True, True, True, False]
    assert dominant_centres(plane(CENTRES), found.dominant) == pytest.approx(plane([0, 300]))


def test_the_limit_is_an_option():
    assert clean(plane(CENTRES), plane(IMAGES), LABELS, angle=3).kept.sum() == 2


def test_blocks_change_nothing(monkeypatch):
    whole = clean(plane(CENTRES), plane(IMAGES), LABELS)
    monkeypatch.setattr("facezoo.heads.cleaning.BLOCK", 2)
    parts = clean(plane(CENTRES), plane(IMAGES), LABELS)
    assert (whole.angles == parts.angles).all() and (whole.images == parts.images).all()


def test_planted_noise_is_found():
    """One image in five shows somebody else: most of these go, the others stay."""
    generator = np.random.default_rng(0)
    people = generator.normal(size=(20, 64))
    labels = np.repeat(np.arange(20), 25)
    noisy = generator.random(500) < 0.2
    shown = np.where(noisy, generator.integers(20, size=500), labels)
    embeddings = people[shown] + 0.5 * generator.normal(size=(500, 64))
    strays = np.roll(people, 1, axis=0)
    found = clean(np.stack([strays, people], axis=1), embeddings, labels)
    assert (found.dominant == 1).all()
    wrong = shown != labels
    assert found.kept[~wrong].mean() > 0.99 and found.kept[wrong].mean() < 0.1


def test_a_class_without_images_keeps_its_first_sub_centre():
    found = clean(plane(CENTRES), plane(IMAGES[:4]), LABELS[:4])
    assert found.dominant.tolist() == [0, 0]
    empty = clean(plane(CENTRES), np.empty((0, 2)), np.empty(0, int))
    assert empty.kept.shape == (0,)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((plane(CENTRES)[:, 0], plane(IMAGES), LABELS), "sub-centres have shape"),
        ((plane(CENTRES), plane(IMAGES)[:, :1], LABELS), "do not fit"),
        ((plane(CENTRES), plane(IMAGES), LABELS[1:]), "do not fit"),
        ((plane(CENTRES), plane(IMAGES), LABELS + 1), "labels are 1 to 2"),
        ((plane(CENTRES), plane(IMAGES), LABELS, 181), "angle is 181"),
    ],
)
def test_what_does_not_fit_is_one_sentence(arguments, says):
    with pytest.raises(InputError, match=says):
        clean(*arguments)
