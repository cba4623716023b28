"""insightface packs: every way they were written, and nothing else that a pickle can do."""

import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facezoo.data.pack import read_pack
from facezoo.data.pairs import write_pairs
from facezoo.image import encode_jpeg
from facezoo.registry import BENCHMARKS, DATASETS
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
        (b"Pname\n", "was encountered, but no persistent_load"),
        (b"T\xff\xff\xff\x7f", "not a readable"),
        (b"g9\n", "not a readable"),
        (b"]r\x00\x00\x00\x04", "asks for too much memory"),
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


@pytest.fixture
def pack(tmp_path):
    """Six images: 0-1-2 and 3-4 are connected by genuine pairs, 5 is in an impostor pair only."""
    a = jpegs(6)
    return written(tmp_path, ([a[0], a[1], a[3], a[4], a[0], a[5], a[2], a[1], a[3], a[0]], [1, 1, False, True, 0]), 4)


def test_a_pack_is_a_dataset_of_what_its_pairs_connect(pack):
    data = DATASETS.create(f"bin:path={pack},check=true")
    images = jpegs(6)
    assert [data.encoded(k) for k in range(6)] == [images[k] for k in (0, 1, 3, 4, 5, 2)]
    assert data.labels.tolist() == [0, 0, 1, 1, 2, 0] and data.classes == ["0", "1", "2"]
    assert data.problems.entries == 10 and data.name(5) == f"{pack}: image 6"
    left, right, same = data.pairs()
    assert left.tolist() == [0, 2, 0, 5, 2] and right.tolist() == [1, 3, 4, 1, 0]
    assert same.tolist() == [True, True, False, True, False]


@pytest.mark.parametrize("protocol", [0, 2, 3, 5])
def test_images_stay_in_the_file_where_they_lie_in_it_as_they_are(tmp_path, protocol):
    images = jpegs(4)
    data = DATASETS.create(f"bin:path={written(tmp_path, (images, [True, False]), protocol)}")
    assert [data.encoded(k) for k in range(4)] == images
    handed = pickle.dumps(data)
    assert (len(handed) < 3000) == (protocol > 2)
    assert pickle.loads(handed).encoded(3) == images[3]  # noqa: S301 - our own


def test_damaged_and_rare_images_go_with_their_pairs(tmp_path):
    a = jpegs(4)
    path = written(tmp_path, ([a[0], a[1], a[2], b"broken", a[2], a[3], a[0], a[2]], [True, True, True, False]))
    with pytest.raises(InputError, match=r"unreadable images: 1 .*toy.bin: image 3"):
        DATASETS.create(f"bin:path={path},check=true")
    data = DATASETS.create(f"bin:path={path},check=true,unreadable=drop")
    assert [data.encoded(k) for k in range(4)] == a and data.labels.tolist() == [0, 0, 1, 1]
    assert data.pairs().left.tolist() == [0, 2, 0] and data.pairs().right.tolist() == [1, 3, 2]


def test_a_pack_of_insightfaces_packer_is_read():
    data = DATASETS.create(f"bin:path={Path(__file__).parent / 'files/pack.bin'}")
    assert data.labels.tolist() == [0, 0, 1, 2, 3, 4] and data.read(5).shape == (24, 24, 3)


def test_a_pack_that_went_through_a_folder_is_the_same(tmp_path, pack, write):
    first = DATASETS.create(f"bin:path={pack}")
    for k in range(len(first)):
        (tmp_path / "folder" / first.path(k)).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / first.path(k)).write_bytes(first.encoded(k))
    write_pairs(tmp_path / "folder/pairs.txt", first.pairs(), first.path)

    folder = DATASETS.create(f"folder:root={tmp_path / 'folder'}")
    [back] = write(f"bin:path={tmp_path / 'back.bin'},pairs={tmp_path / 'folder/pairs.txt'}", folder)

    images, same = read_pack(pack)
    assert [list(column) for column in read_pack(back)] == [images, same.tolist()]
    with back.open("rb") as file:  # what insightface does
        assert pickle.load(file, encoding="bytes") == (images, same.tolist())  # noqa: S301 - our own
    listed = BENCHMARKS.create(
        f"pairs:path={tmp_path / 'folder/pairs.txt'},root={tmp_path / 'folder'},folds=2,aligned=arcface"
    )
    packed = BENCHMARKS.create(f"bin:path={back},folds=2")
    assert listed.same.tolist() == packed.same.tolist()
    assert [a.read().tolist() for a in listed.photos] == [b.read().tolist() for b in packed.photos]


def test_drawn_pairs_are_seeded_and_even_in_every_stretch(tmp_path, people, write):
    specs = [f"bin:path={tmp_path / name},pairs=12,seed={seed}" for name, seed in (("a", 1), ("b", 1), ("c", 2))]
    a, b, c = (write(spec, people, size)[0] for spec, size in zip(specs, (3, 5, 3)))
    assert a.read_bytes() == b.read_bytes() != c.read_bytes()
    images, same = read_pack(a)
    assert same.tolist() == [True, False] * 6
    label = {people.encoded(k): people.labels[k] for k in range(len(people))}
    assert [label[left] == label[right] for left, right in zip(images[::2], images[1::2])] == same.tolist()


def test_a_list_of_pairs_of_other_images_is_refused(tmp_path, people, write):
    (tmp_path / "pairs.txt").write_text("ada/0 x.jpg\tada/1 x.jpg\t1\nada/0 x.jpg\tnobody/1.jpg\t0\n")
    with pytest.raises(InputError, match=r"pairs.txt: 1 of 3 images are not in the source, the first: nobody/1.jpg"):
        write(f"bin:path={tmp_path / 'x.bin'},pairs={tmp_path / 'pairs.txt'}", people)


@given(st.lists(st.tuples(st.integers(0, 5200), st.integers(0, 255)), min_size=1, max_size=6), st.integers(0, 6000))
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_damage_of_a_pack_is_one_sentence_or_none(tmp_path, changes, length):
    data = bytearray((Path(__file__).parent / "files/pack.bin").read_bytes())
    for place, value in changes:
        data[place % len(data)] = value
    path = written(tmp_path, bytes(data[:length]))
    try:
        found = DATASETS.create(f"bin:path={path}")
        assert sum(len(found.encoded(k)) for k in range(len(found))) < 6000
    except InputError as error:
        assert "\n" not in str(error)
