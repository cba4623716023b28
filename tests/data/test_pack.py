"""insightface packs: every way they were written, and nothing else that a pickle can do."""

import pickle
import struct

import numpy as np
import pytest

from facezoo.data.pack import read_pack
from facezoo.image import encode_jpeg
from facezoo.types import InputError


def jpegs(count):
    generator = np.random.default_rng(0)
    return [encode_jpeg(generator.integers(0, 256, (112, 112, 3), np.uint8)) for _ in range(count)]


def written(tmp_path, content, protocol=4):
    path = tmp_path / "toy.bin"
    path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, protocol))
    return path


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("container", [tuple, list])
def test_a_pack_of_any_protocol_is_read(tmp_path, protocol, container):
    images = jpegs(4)
    found, same = read_pack(written(tmp_path, container([images, [True, False]]), protocol))
    assert found == images
    assert same.tolist() == [True, False]


def python2_pack(images, same):
    """What cPickle of Python 2 writes: byte strings as SHORT_BINSTRING or BINSTRING, booleans as integers 01 and 00."""
    body = b"(]q\x01("
    for image in images:
        body += b"U" + bytes([len(image)]) + image if len(image) < 256 else b"T" + struct.pack("<i", len(image)) + image
    body += b"e]q\x02(" + b"".join(b"I01\n" if label else b"I00\n" for label in same) + b"et."
    return body


def test_a_pack_of_python_2_is_read(tmp_path):
    images = [*jpegs(3), b"short"]
    found, same = read_pack(written(tmp_path, python2_pack(images, [True, False])))
    assert found == images
    assert same.tolist() == [True, False]


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_images_and_labels_in_numpy_are_read(tmp_path, protocol):
    images = jpegs(4)
    arrays = [np.frombuffer(image, np.uint8).copy() for image in images]
    for labels in ([np.True_, np.False_], np.array([True, False])):
        found, same = read_pack(written(tmp_path, (arrays, labels), protocol))
        assert found == images
        assert same.tolist() == [True, False]


class Evil:
    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_foreign_objects_are_refused_before_they_are_made(tmp_path, protocol):
    mark = tmp_path / "mark"
    for bad in (Evil(exec, f"open({str(mark)!r}, 'w')"), Evil(mark.touch), Evil(eval, "1"), Evil(getattr, "", "join")):
        with pytest.raises(InputError, match="foreign object"):
            read_pack(written(tmp_path, ([bad, b""], [True]), protocol))
    assert not mark.exists()


def opcodes(text):
    return b"\x80\x02" + text + b"."


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"c__builtin__\nbytes\n\x8a\x05\x00\x00\x00\x00\x40\x85R", "bytes made of something else"),
        (b"c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00punyc\x86R", "another encoding"),
        (b"cnumpy\ndtype\nX\x02\x00\x00\x00O8\x85R", "array of type"),
        (b"cnumpy\nload\n", "foreign object numpy.load"),
        (b"cos\nsystem\n", "foreign object os.system"),
        (b"cfacezoo.files\nwrite_text\n", "foreign object facezoo.files.write_text"),
        (b"Q", "not a readable"),
        (b"T\xff\xff\xff\x7f", "not a readable"),
        (b"g9\n", "not a readable"),
        (b"]]", "pair of lists"),
    ],
)
def test_hostile_and_damaged_pickles_are_one_sentence(tmp_path, body, words):
    with pytest.raises(InputError, match=words):
        read_pack(written(tmp_path, opcodes(body)))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (([b"a"], [True]), "two images for each label"),
        (([], []), "no pairs"),
        (([1, 2], [True]), "not encoded bytes"),
        (([b"a", b"b"], ["yes"]), "labels are not booleans"),
        ([1, 2, 3], "pair of lists"),
        (b"", "not a readable"),
        (b"not a pickle at all", "not a readable"),
    ],
)
def test_what_is_no_pack_is_named(tmp_path, content, words):
    with pytest.raises(InputError, match=words):
        read_pack(written(tmp_path, content))


def test_a_missing_pack_is_named(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_pack(tmp_path / "lfw.bin")
