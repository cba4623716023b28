import logging
import sys

import numpy as np
import pytest

from facezoo.data.dataset import Names
from facezoo.image import find_images, read_image, write_image
from facezoo.registry import DATASETS
from facezoo.types import InputError


@pytest.fixture
def root(tmp_path):
    """Three people with two, one and three images, of which one lies deeper and one has blanks in its name."""
    rng = np.random.default_rng(0)
    for name in ("ada/1.jpg", "ada/2.png", "bob/1.jpg", "Eve Ä/1.jpg", "Eve Ä/deep/2.jpg", "Eve Ä/a b.jpg"):
        write_image(tmp_path / name, rng.integers(256, size=(8, 8, 3), dtype=np.uint8))
    return tmp_path


def write_list(root, text, name="train.txt"):
    (root / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return root / name


def open_list(path, options=""):
    return DATASETS.create(f"list:path={path}{options}")


def test_names_keep_text_of_any_script():
    names = Names([b"a", "né/東.jpg".encode(), b""])
    assert [names[i] for i in range(3)] == ["a", "né/東.jpg", ""] == list(names)
    assert names[-2] == "né/東.jpg"
    assert list(names.take(np.array([2, 0]))) == ["", "a"]


def test_a_folder_numbers_identities_in_sorted_order(root):
    data = DATASETS.create(f"folder:root={root}")
    assert data.classes == ["Eve Ä", "ada", "bob"]
    assert data.labels.tolist() == [0, 0, 0, 1, 1, 2] and data.labels.dtype == np.int64
    assert len(data) == data.problems.entries == 6 and not data.problems
    assert data.name(2) == f"{root}/Eve Ä/deep/2.jpg"
    np.testing.assert_array_equal(data.read(3), read_image(root / "ada/1.jpg"))


def test_a_folder_reports_what_belongs_to_nobody(root, caplog):
    for name in ("loose.jpg", "sheet.jpg"):  # a contact sheet lies there on purpose
        write_image(root / name, np.zeros((8, 8, 3), np.uint8))
    (root / "nobody").mkdir()
    (root / ".hidden").mkdir()
    (root / "readme.txt").touch()
    with caplog.at_level(logging.WARNING):
        problems = DATASETS.create(f"folder:root={root}").problems
        DATASETS.create(f"folder:root={root}")
    assert problems.stray.first == ("loose.jpg",) and problems.empty.first == ("nobody",)
    assert caplog.text.count("6 entries; images outside of identity folders left out: 1 (loose.jpg)") == 1


def test_less_than_one_image_of_an_identity_is_refused(root):
    with pytest.raises(InputError, match="min_images is -1, it must be 1 or more"):
        DATASETS.create(f"folder:root={root},min_images=-1")


def test_min_images_leaves_small_identities_out(root):
    data = DATASETS.create(f"folder:root={root},min_images=2")
    assert data.classes == ["Eve Ä", "ada"] and data.labels.tolist() == [0, 0, 0, 1, 1]
    assert data.problems.small.first == ("bob",)
    with pytest.raises(InputError, match="no image is left"):
        DATASETS.create(f"folder:root={root},min_images=9")


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
def test_a_folder_may_be_made_of_links(root, tmp_path_factory):
    linked, more = tmp_path_factory.mktemp("linked"), tmp_path_factory.mktemp("more")
    write_image(more / "3.png", np.zeros((8, 8, 3), np.uint8))
    (root / "ada" / "more").symlink_to(more)
    (linked / "ada").symlink_to(root / "ada")

    data = DATASETS.create(f"folder:root={linked}")

    assert (data.classes, len(data)) == (["ada"], 3)
    assert [path.relative_to(linked).as_posix() for path in find_images(linked)] == [
        "ada/1.jpg",
        "ada/2.png",
        "ada/more/3.png",
    ]


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        DATASETS.create(f"folder:root={tmp_path / 'no'}")
    with pytest.raises(InputError, match=r"expected .*/IDENTITY/IMAGE"):
        DATASETS.create(f"folder:root={tmp_path}")


def test_a_list_takes_blanks_tabs_crlf_and_paths_with_blanks(root):
    path = write_list(root, "ada/1.jpg 0\r\nbob/1.jpg\t1\r\nEve Ä/a b.jpg 2\r\nEve Ä/deep/2.jpg \t 2")
    data = open_list(path)
    assert data.labels.tolist() == [0, 1, 2, 2] and data.classes == ["0", "1", "2"]
    assert data.name(2).endswith("Eve Ä/a b.jpg") and not data.problems
    np.testing.assert_array_equal(data.read(1), read_image(root / "bob/1.jpg"))


def test_blank_lines_do_not_cut_a_list_short(root, caplog):
    path = write_list(root, "ada/1.jpg 0\n\n  \nbob/1.jpg 1\n")
    data = open_list(path)
    assert len(data) == 2
    assert data.problems.blank_lines.count == 2
    assert data.problems.blank_lines.first == ("train.txt:2", "train.txt:3")
    assert "blank lines skipped: 2 (train.txt:2, train.txt:3)" in caplog.text


def test_label_gaps_are_reported_and_closed(root):
    data = open_list(write_list(root, "ada/1.jpg 7\nbob/1.jpg 2\nada/2.png 7\n"))
    assert data.labels.tolist() == [1, 0, 1] and data.classes == ["2", "7"]
    assert data.problems.gaps.count == 6 and data.problems.gaps.first == ("0", "3")


@pytest.mark.parametrize("line", ["ada/1.jpg", "ada/1.jpg x", "ada/1.jpg -1", "ada/1.jpg 1.0", "5", "a " + "9" * 30])
def test_a_line_that_does_not_parse_is_named(root, line):
    path = write_list(root, f"bob/1.jpg 0\n\n{line}\n")
    with pytest.raises(InputError, match=r"train\.txt:3: .* is not `path label`"):
        open_list(path)


def test_text_of_another_encoding_is_named_by_its_line(root):
    path = write_list(root, b"bob/1.jpg 0\nEve \xc4/1.jpg 1\n")
    with pytest.raises(InputError, match=r"train\.txt:2: not UTF-8"):
        open_list(path)


def test_a_file_that_is_no_text_is_refused(root):
    with pytest.raises(InputError, match=r"train\.txt:2: holds a zero byte"):
        open_list(write_list(root, b"bob/1.jpg 0\nbob/\0.jpg 1\n"))


def test_a_byte_order_mark_is_no_part_of_the_first_name(root):
    assert len(open_list(write_list(root, b"\xef\xbb\xbfbob/1.jpg 0\n"))) == 1


@pytest.mark.parametrize("name", ["../secret.jpg", "ada/../../secret.jpg", "/etc/secret.jpg"])
def test_a_path_that_leads_out_of_the_root_is_refused(root, name):
    write_image(root.parent / "secret.jpg", np.zeros((8, 8, 3), np.uint8))
    path = write_list(root, f"{name} 0\n")
    with pytest.raises(InputError, match=r"train\.txt:1: .* lies outside"):
        open_list(path)


def test_dots_and_absolute_paths_inside_the_root_are_kept(root):
    data = open_list(write_list(root, f"ada/../bob/1.jpg 0\n{root}/ada/1.jpg 1\nada/..x.jpg 1\n"), ",missing=drop")
    assert [data.name(i) for i in range(2)] == [f"{root}/bob/1.jpg", f"{root}/ada/1.jpg"]


def test_missing_files_fail_by_default_and_are_counted(root):
    path = write_list(root, "ada/1.jpg 0\nno/1.jpg 1\nno/2.jpg 1\nbob/1.jpg 2\n")
    with pytest.raises(InputError, match=r"2 of 4 listed files .* no/1\.jpg, no/2\.jpg; .*missing=drop"):
        open_list(path)
    data = open_list(path, ",missing=drop")
    assert data.labels.tolist() == [0, 1] and data.classes == ["0", "2"]
    assert data.problems.missing.count == 2 and data.problems.entries == 4
    with pytest.raises(InputError, match="no image is left"):
        open_list(write_list(root, "no/1.jpg 1\n"), ",missing=drop")


def test_check_finds_unreadable_files(root):
    (root / "ada/1.jpg").write_bytes(b"not an image")
    (root / "bob/1.jpg").write_bytes((root / "bob/1.jpg").read_bytes()[:200])
    assert len(DATASETS.create(f"folder:root={root}")) == 6  # nobody looked
    with pytest.raises(InputError, match=r"unreadable images: 2 \(ada/1\.jpg, bob/1\.jpg\)"):
        DATASETS.create(f"folder:root={root},check=true")
    data = DATASETS.create(f"folder:root={root},check=true,unreadable=drop")
    assert data.classes == ["Eve Ä", "ada"] and data.labels.tolist() == [0, 0, 0, 1]
    with pytest.raises(InputError, match="unreadable=drop needs check=true"):
        DATASETS.create(f"folder:root={root},unreadable=drop")


def test_an_empty_or_missing_list_is_refused(root):
    with pytest.raises(InputError, match="holds no `path label` line"):
        open_list(write_list(root, "\n"))
    with pytest.raises(InputError, match=r"no\.txt: no such file$"):
        open_list(root / "no.txt")


def test_another_root_than_the_lists_own(root, tmp_path_factory):
    path = write_list(tmp_path_factory.mktemp("lists"), "ada/1.jpg 0\n")
    assert open_list(path, f",root={root}").read(0).shape == (8, 8, 3)


@pytest.mark.data
@pytest.mark.parametrize(
    "name, images, identities", [("train", 16728, 3290), ("train_deep", 9593, 538), ("train_shallow", 6580, 3290)]
)
def test_real_lists_open_whole(data_root, name, images, identities):
    data = open_list(data_root / f"{name}.txt")
    assert (len(data), len(data.classes)) == (images, identities) and not data.problems
    assert data.read(images - 1).shape == (112, 112, 3)


def test_an_image_listed_twice_is_counted_and_one_with_two_labels_is_refused(tmp_path):
    for name in "ab":
        write_image(tmp_path / f"{name}.png", np.full((4, 4, 3), ord(name), np.uint8))
    listed = tmp_path / "list.txt"
    listed.write_text("a.png 0\nb.png 1\na.png 0\n")
    data = DATASETS.create(f"list:path={listed}")
    assert len(data) == 3 and str(data.problems.repeated) == "1 (a.png)"
    listed.write_text("a.png 0\nb.png 1\na.png 1\n")
    with pytest.raises(InputError, match=r"'a\.png' is listed with the labels 0 and 1; keep one line"):
        DATASETS.create(f"list:path={listed}")
