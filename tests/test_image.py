import io
import os
import struct
import sys
import zlib

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from PIL import Image as Pillow

from facezoo.files import write_bytes
from facezoo.image import (
    MAX_BYTES,
    MAX_PIXELS,
    decode_image,
    encode_jpeg,
    find_images,
    is_plain_jpeg,
    read_image,
    read_images,
    write_image,
)
from facezoo.types import InputError


def scene(height: int = 24, width: int = 40) -> np.ndarray:
    """Red, brighter to the right; green, brighter to the bottom; a blue mark in the top left corner."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.linspace(0, 255, width).round()
    image[..., 1] = np.linspace(0, 255, height).round()[:, None]
    image[: height // 4, : width // 4, 2] = 255
    return image


def encoded(picture: Pillow.Image, format: str, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def png(width: int, height: int, data: bytes = b"") -> bytes:
    """A PNG file whose header claims a size."""

    def part(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"IDAT", zlib.compress(data)) + part(b"IEND", b"")


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "PPM"])
def test_a_lossless_file_comes_back_as_it_was(format):
    assert np.array_equal(decode_image(encoded(Pillow.fromarray(scene()), format)), scene())


@pytest.mark.parametrize("format", ["JPEG", "WEBP"])
def test_a_lossy_file_comes_back_nearly_as_it_was(format):
    smooth = scene()
    smooth[..., 2] = 0

    image = decode_image(encoded(Pillow.fromarray(smooth), format, quality=95))

    assert np.abs(image.astype(int) - smooth).mean() < 4


@pytest.mark.parametrize(
    ("orientation", "stored"),
    [
        (1, lambda image: image),
        (2, lambda image: image[:, ::-1]),
        (3, lambda image: image[::-1, ::-1]),
        (4, lambda image: image[::-1]),
        (5, lambda image: image.transpose(1, 0, 2)),
        (6, lambda image: np.rot90(image)),
        (7, lambda image: image[::-1, ::-1].transpose(1, 0, 2)),
        (8, lambda image: np.rot90(image, -1)),
    ],
)
def test_a_photo_stands_upright_whatever_its_exif_says(orientation, stored):
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    data = encoded(Pillow.fromarray(np.ascontiguousarray(stored(scene()))), "PNG", exif=exif)

    assert np.array_equal(decode_image(data), scene())


def test_grey_becomes_three_equal_channels():
    grey = scene()[..., 0]
    image = decode_image(encoded(Pillow.fromarray(grey), "PNG"))

    assert np.array_equal(image, np.stack([grey] * 3, axis=-1))


def test_sixteen_bits_become_eight():
    grey = np.arange(0, 65536, 64, dtype=np.uint16).reshape(32, 32)
    image = decode_image(encoded(Pillow.fromarray(grey), "PNG"))

    assert np.array_equal(image[..., 0], np.rint(grey / 257).astype(np.uint8))


def test_a_dark_sixteen_bit_photo_stays_dark():
    grey = np.full((8, 8), 200, np.uint16)

    assert decode_image(encoded(Pillow.fromarray(grey), "TIFF")).max() == 1


@pytest.mark.parametrize("scale", [1, 255])
def test_grey_floats_become_eight_bits(scale):
    grey = (scene()[..., 0] / 255 * scale).astype(np.float32)

    assert np.array_equal(decode_image(encoded(Pillow.fromarray(grey), "TIFF"))[..., 0], scene()[..., 0])


def test_one_bit_becomes_black_and_white():
    mask = scene()[..., 0] > 127
    image = decode_image(encoded(Pillow.fromarray(mask), "PNG"))

    assert np.array_equal(image[..., 0], mask * np.uint8(255))


def test_transparent_pixels_are_white():
    image = np.dstack([scene(), np.full(scene().shape[:2], 255, np.uint8)])
    image[10:, :, 3] = 0
    for format in ("PNG", "WEBP"):
        back = decode_image(encoded(Pillow.fromarray(image), format, lossless=True))

        assert (back[10:] == 255).all()
        assert np.array_equal(back[:10], scene()[:10])


def test_a_palette_with_a_transparent_colour_is_laid_on_white():
    picture = Pillow.fromarray(np.repeat([[0, 1]], 8, axis=0).astype(np.uint8)).copy()
    picture.putpalette([255, 0, 0, 0, 0, 255])
    image = decode_image(encoded(picture, "PNG", transparency=1))

    assert image[0].tolist() == [[255, 0, 0], [255, 255, 255]]


def test_cmyk_becomes_rgb():
    cmyk = Pillow.fromarray(scene()).convert("CMYK")
    image = decode_image(encoded(cmyk, "JPEG", quality=100, subsampling=0))

    assert np.abs(image.astype(int) - scene()).mean() < 6


def test_of_an_animation_the_first_frame_is_taken():
    frames = [Pillow.fromarray(np.full((8, 8), value, np.uint8)) for value in (250, 10)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])

    assert (decode_image(data) == 250).all()


@pytest.mark.parametrize("keep", [30, 200, 700])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "TIFF"])
def test_a_truncated_file_is_refused(format, keep):
    noise = Pillow.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    data = encoded(noise, format)[:keep]

    with pytest.raises(InputError, match=r"^a\.jpg: (the image is damaged or truncated|not an image)") as caught:
        decode_image(data, "a.jpg")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("side", [9_000, 12_000, 100_000])
def test_an_absurdly_large_image_is_refused_before_it_is_decoded(side):
    with pytest.raises(InputError, match=f"more than the {MAX_PIXELS:,} "):
        decode_image(png(side, side))


def test_an_absurdly_large_file_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "a.jpg"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)  # takes no space on the disk

    with pytest.raises(InputError, match=r"200,000,001 bytes, more than"):
        read_image(path)


def test_what_is_not_an_image_is_refused(tmp_path):
    cases = {
        "empty.jpg": (b"", "the file is empty"),
        "text.jpg": (b"hello", "not an image of a known format"),
        "page.jpg": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image of a known format"),
    }
    for name, (data, why) in cases.items():
        write_bytes(tmp_path / name, data)
        with pytest.raises(InputError, match=why):
            read_image(tmp_path / name)
    with pytest.raises(InputError, match="no such file"):
        read_image(tmp_path / "none.jpg")
    with pytest.raises(InputError, match="is a folder"):
        read_image(tmp_path)


def test_written_photos_come_back(tmp_path):
    write_image(tmp_path / "a.png", scene())

    assert np.array_equal(next(read_images([tmp_path / "a.png"])), scene())
    assert decode_image(encode_jpeg(scene())).shape == scene().shape


def test_only_visible_images_are_found_sorted(tmp_path):
    for name in ("b/2.JPG", "b/1.png", "a.webp", "notes.txt", ".hidden/x.jpg", ".y.jpg"):
        write_bytes(tmp_path / name, b"x")

    assert [p.relative_to(tmp_path).as_posix() for p in find_images(tmp_path)] == ["a.webp", "b/1.png", "b/2.JPG"]
    with pytest.raises(InputError, match="no such folder"):
        find_images(tmp_path / "none")


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")
def test_what_is_no_regular_file_is_refused_before_it_is_read(tmp_path):
    os.mkfifo(tmp_path / "a.jpg")  # nobody writes to it: reading would wait for ever

    for path in (tmp_path / "a.jpg", "/dev/zero"):
        with pytest.raises(InputError, match="is a pipe or device, not a file"):
            read_image(path)


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
def test_links_to_folders_are_followed_but_never_in_a_circle(tmp_path):
    write_bytes(tmp_path / "store" / "ann" / "1.jpg", b"x")
    photos = tmp_path / "photos"
    write_bytes(photos / "bob" / "1.jpg", b"x")
    (photos / "ann").symlink_to(tmp_path / "store" / "ann")
    (photos / "bob" / "up").symlink_to(photos)
    (photos / "self").symlink_to("self")
    (photos / "gone.jpg").symlink_to("nothing")
    (tmp_path / "store" / "ann" / "back").symlink_to(photos / "bob")
    (photos / "bob" / "forth").symlink_to(tmp_path / "store" / "ann")

    assert [p.relative_to(photos).as_posix() for p in find_images(photos)] == [
        "ann/1.jpg",
        "ann/back/1.jpg",
        "bob/1.jpg",
        "bob/forth/1.jpg",
    ]


PLAIN = {
    "baseline": {},
    "progressive": {"progressive": True},
    "chroma halved": {"subsampling": 2},
    "not halved": {"subsampling": 0},
    "stored as RGB": {"keep_rgb": True},
    "restarts": {"restart_marker_blocks": 3},
    "comment": {"comment": b"a face", "progressive": True, "restart_marker_rows": 1},
    "profile": {"icc_profile": b"profile" * 99},
}


def jpeg(options: dict, grey: bool = False) -> bytes:
    noise = np.random.default_rng(0).integers(0, 60, (37, 51, 3))
    picture = Pillow.fromarray((scene(37, 51) // 2 + noise).astype(np.uint8))
    return encoded(picture.convert("L") if grey else picture, "JPEG", **options)


def by_pillow(data: bytes, monkeypatch) -> np.ndarray | str:
    with monkeypatch.context() as patched:
        patched.setattr("facezoo.image.is_plain_jpeg", lambda data: False)
        return decoded(data)


def decoded(data: bytes) -> np.ndarray | str:
    try:
        return decode_image(data)
    except InputError as error:
        return str(error)


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("options", PLAIN.values(), ids=PLAIN)
def test_plain_jpegs_are_decoded_fast_to_the_same_pixels(options, grey, monkeypatch):
    if grey:
        options = {key: value for key, value in options.items() if key != "keep_rgb"}
    data = jpeg(options, grey)

    assert is_plain_jpeg(data)
    assert np.array_equal(decode_image(data), by_pillow(data, monkeypatch))


def test_other_jpegs_are_not_plain():
    upside_down = Pillow.Exif()
    upside_down[0x0112] = 3
    picture = Pillow.fromarray(scene())
    plain, size = encoded(picture, "JPEG"), struct.pack(">HH", 24, 40)
    huge = plain.replace(size, struct.pack(">HH", 9000, 9000), 1)

    assert not is_plain_jpeg(encoded(picture, "JPEG", exif=upside_down))
    assert not is_plain_jpeg(encoded(picture.convert("CMYK"), "JPEG"))
    assert not is_plain_jpeg(plain[:-1]) and not is_plain_jpeg(plain + b"more") and not is_plain_jpeg(plain[:60])
    assert is_plain_jpeg(plain) and not is_plain_jpeg(huge)
    assert not is_plain_jpeg(plain + plain[2:]), "two images in one file"
    with pytest.raises(InputError, match="9000 x 9000 pixels"):
        decode_image(huge)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_damaged_jpeg_is_the_same_by_either_decoder(data):
    original = jpeg(data.draw(st.sampled_from(list(PLAIN.values()))))
    place = data.draw(st.integers(0, len(original) - 1))
    removed = data.draw(st.integers(0, 40))
    damaged = original[:place] + data.draw(st.binary(max_size=40)) + original[place + removed :]
    with pytest.MonkeyPatch.context() as monkeypatch:
        by_either, expected = decoded(damaged), by_pillow(damaged, monkeypatch)

    assert type(by_either) is type(expected)
    assert np.array_equal(by_either, expected)
