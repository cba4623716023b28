import json

import numpy as np
import pytest

from facezoo.data.ahead import ahead
from facezoo.data.opening import open_dataset
from facezoo.data.stats import measure, rows
from facezoo.image import write_image


@pytest.fixture
def data(tmp_path):
    """Three images each: bob's first is ada's first, byte for byte; her second has its pixels; his second is broken."""
    rng = np.random.default_rng(0)
    image = rng.integers(256, size=(8, 6, 3), dtype=np.uint8)
    write_image(tmp_path / "ada/1.bmp", image)
    write_image(tmp_path / "ada/2.png", image)
    write_image(tmp_path / "ada/3.jpg", np.full((16, 16, 3), 200, np.uint8))
    (tmp_path / "bob").mkdir()
    (tmp_path / "bob/1.bmp").write_bytes((tmp_path / "ada/1.bmp").read_bytes())
    (tmp_path / "bob/2.jpg").write_bytes(b"no image")
    write_image(tmp_path / "bob/3.png", np.zeros((4, 4), np.uint8))
    return open_dataset(str(tmp_path))


def test_what_there_is_is_counted(data):
    found = measure(data)
    assert found.images == 6 and found.per_identity.tolist() == [3, 3]
    assert found.sizes == {"6x8": 3, "16x16": 1, "4x4": 1}
    assert found.kinds == {"BMP RGB": 2, "PNG RGB": 1, "JPEG RGB": 1, "PNG L": 1}
    assert found.quantiles("images")["50%"] == 3 and found.quantiles("mean")["0%"] == 0
    assert found.facts["spread"][2] == 0 and found.facts["bytes"][0] == len(data.encoded(0))


def test_copies_are_found_by_bytes_and_by_pixels(data):
    found = measure(data)
    assert (found.same_bytes.groups, found.same_bytes.spare, found.same_bytes.across) == (1, 1, 1)
    assert found.same_bytes.listed == ((0, 3),) and found.same_pixels.listed == ((0, 1, 3),)
    assert found.same_pixels.spare == 2


def test_unreadable_images_are_named_and_left_out(data):
    found = measure(data)
    assert found.unreadable.count == 1 and "bob/2.jpg" in found.unreadable.first[0]
    assert found.broken.tolist() == [False] * 4 + [True, False]


def test_extremes_are_the_ends_of_each_fact(data):
    found = measure(data).extremes(1)
    assert (
        found["smallest"] == [5] and found["largest"] == [2] and found["darkest"] == [5] and found["brightest"] == [2]
    )


def test_stats_are_ready_for_json_and_words(data):
    found = measure(data)
    values = json.loads(json.dumps(found.to_dict()))
    assert values["identities_by_images"] == {"3": 2} and values["other_sizes"] == 0
    assert "1 of them under several identities" in rows(found, data.classes)["same pixels"]


def test_nothing_readable_is_told_and_no_error(tmp_path):
    (tmp_path / "ada").mkdir()
    (tmp_path / "ada/1.jpg").write_bytes(b"no")
    data = open_dataset(str(tmp_path))
    found = measure(data)
    assert found.unreadable.count == 1 and found.same_pixels.groups == 0 and not found.extremes(3)
    assert rows(found, data.classes)["sizes"] == "none"


def test_reading_ahead_keeps_the_order_and_holds_a_few():
    started = []

    def work(item):
        started.append(item)
        return item * 2

    results = ahead(work, range(1000), waiting=10)
    assert [next(results) for _ in range(5)] == [0, 2, 4, 6, 8]
    assert len(started) <= 15
    assert list(results) == [2 * k for k in range(5, 1000)]


def test_reading_ahead_raises_where_the_result_would_have_come():
    results = ahead(lambda k: 1 // (3 - k), range(9), waiting=20)
    assert [next(results) for _ in range(3)] == [0, 0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
