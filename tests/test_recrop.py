"""Crops from crops: the upper half is cut, not scaled, and several models' crops lie in one."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from facezoo.align import align, fit, places, recrop, shows, stacked, template_points, views_of, whole_view
from facezoo.evaluation.moved import Moved, must_move
from facezoo.evaluation.photos import Crops, Photo
from facezoo.types import Contract, InputError

UPPER = ("arcface-upper", (60, 112))
WHOLE = ("arcface", (112, 112))
DLIB = ("dlib", (150, 150))


@pytest.fixture
def photo():
    noise = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    return cv2.resize(noise, (400, 320), interpolation=cv2.INTER_CUBIC)


@pytest.fixture
def landmarks():
    turn = np.array([[1.4, -0.3], [0.3, 1.4]])
    return template_points("arcface", (112, 112)) @ turn.T + [120, 60]


def test_the_upper_half_of_a_photo_is_that_of_the_whole_crop(photo, landmarks):
    whole = align(photo, landmarks)
    np.testing.assert_array_equal(align(photo, landmarks, *UPPER), whole[:60])
    np.testing.assert_array_equal(recrop(whole, *UPPER, "arcface"), whole[:60])
    np.testing.assert_array_equal(recrop(whole, *UPPER), whole[:60])


def test_a_whole_crop_of_another_size_is_scaled_and_then_cut(photo, landmarks):
    large = align(photo, landmarks, "arcface", (224, 224))
    np.testing.assert_array_equal(recrop(large, *UPPER), fit(large, (112, 112))[:60])
    np.testing.assert_array_equal(recrop(large, "arcface-upper", (120, 224)), large[:120])
    narrow = large[:, 16:-16]
    np.testing.assert_array_equal(recrop(narrow, "arcface-upper", (120, 192)), narrow[:120])


def test_a_crop_that_is_the_part_already_stays_or_is_scaled(photo, landmarks):
    upper = align(photo, landmarks, *UPPER)
    np.testing.assert_array_equal(recrop(upper, *UPPER), upper)
    np.testing.assert_array_equal(recrop(upper, "arcface-upper", (120, 224), "arcface-upper"), fit(upper, (120, 224)))


def test_without_a_part_a_crop_is_fitted_as_ever(photo, landmarks):
    whole = align(photo, landmarks)
    for size in ((112, 112), (56, 56), (112, 96), (60, 112)):
        np.testing.assert_array_equal(recrop(whole, "arcface", size), fit(whole, size))


def test_what_a_crop_does_not_show_is_refused(photo, landmarks):
    assert shows("arcface", "arcface-upper") and not shows("arcface-upper", "arcface")
    with pytest.raises(InputError, match="aligned to 'arcface' do not show what 'dlib' wants; use the raw photos"):
        recrop(align(photo, landmarks), *DLIB, "arcface")
    with pytest.raises(InputError, match="is a part of 'arcface' of the shape 60 x 112"):
        template_points("arcface-upper", (112, 112))


def test_a_stack_holds_every_crop_and_its_mirror_image_is_the_stack_of_mirror_images(photo, landmarks):
    views = [WHOLE, DLIB, ("arcface", (112, 96))]
    template, size = stacked(views)
    assert (template, size) == ("arcface@112x112+dlib@150x150+arcface@112x96", (374, 150))
    assert views_of(template) == views and views_of("arcface") == views_of("x@yxz") == []
    crop = align(photo, landmarks, template, size)
    mirrored = crop[:, ::-1]
    assert crop.shape == (*size, 3)
    for view, place in zip(views, places([view[1] for view in views]), strict=True):
        alone = align(photo, landmarks, *view)
        np.testing.assert_array_equal(crop[place], alone)
        np.testing.assert_array_equal(mirrored[place], alone[:, ::-1])


def test_a_stack_is_made_of_one_crop_that_shows_all(photo, landmarks):
    whole = align(photo, landmarks)
    template, size = stacked([("arcface", (224, 224)), UPPER])
    found = recrop(whole, template, size, "arcface")
    np.testing.assert_array_equal(found[:224], fit(whole, (224, 224)))
    np.testing.assert_array_equal(found[224:, 56:168], whole[:60])
    np.testing.assert_array_equal(recrop(whole, template, size), found)
    with pytest.raises(InputError, match="do not show"):
        recrop(whole, *stacked([WHOLE, DLIB]))
    with pytest.raises(InputError, match="must all be even or all odd"):
        stacked([WHOLE, ("arcface", (113, 113))])


def test_a_part_knows_its_whole():
    assert whole_view(UPPER) == WHOLE and whole_view(WHOLE) == WHOLE
    assert whole_view(("arcface-upper", (120, 224))) == ("arcface", (224, 224))


def test_benchmarks_cut_their_crops_and_align_their_photos_alike(photo, landmarks):
    contract = Contract(input_size=(60, 112), template="arcface-upper")
    crop = align(photo, landmarks)
    (of_photo,) = Crops([Photo("raw", photo, landmarks)], contract)
    (of_crop,) = Crops([Photo("crop", crop)], contract, "arcface")
    (mirrored,) = Crops([Photo("crop", crop, mirrored=True)], contract, "arcface")

    np.testing.assert_array_equal(of_photo, crop[:60])
    np.testing.assert_array_equal(of_crop, crop[:60])
    np.testing.assert_array_equal(mirrored, crop[:60, ::-1])
    with pytest.raises(InputError, match="wants crops aligned to 'arcface-upper', these are aligned to 'dlib'"):
        Crops([Photo("crop", crop)], contract, "dlib")
    with pytest.raises(InputError, match="takes a part of the crops, which have no zoom"):
        list(Crops([Photo("crop", crop, zoom=128)], contract, "arcface"))


def test_crops_are_moved_for_other_templates_but_half_a_face_is_not_made_a_whole_one(photo, landmarks):
    template, size = stacked([WHOLE, DLIB])
    assert must_move("arcface", "dlib") and must_move("arcface", template)
    assert not any(must_move(*pair) for pair in (("arcface", "arcface-upper"), ("arcface-upper", "arcface")))
    crop = align(photo, landmarks)
    moved = Moved([Photo("crop", crop)], "arcface", Contract(template=template, input_size=size))
    points = template_points("arcface", (112, 112))
    np.testing.assert_array_equal(moved[0].read(), align(crop, points, template, size))
    np.testing.assert_array_equal(moved[0].read()[:112, 19:131], crop)
