import json
import logging
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import ANY

import numpy as np
import pytest

from facezoo.data.convert import Options, convert
from facezoo.data.folder import Folder
from facezoo.data.folder_writer import FolderWriter
from facezoo.data.manifest import read_manifest, verify
from facezoo.data.opening import open_dataset
from facezoo.data.recode import Recoding, parse_recoding
from facezoo.data.staging import Staging
from facezoo.image import encode_jpeg, write_image
from facezoo.registry import DATASETS, WRITERS
from facezoo.types import InputError

ENDINGS = {"rec": ".rec", "list": "/train.txt", "bin": ".bin"}
FORMATS = [name for name in WRITERS.names() if WRITERS.factory(name).complete]
WITHOUT_PATHS = {"rec", "lmdb"}


def place(folder, format):
    return folder / f"{format}{ENDINGS.get(format, '')}"


def writer_of(folder, format):
    return WRITERS.create(f"{format}:path={place(folder, format)}")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Four people in another order than that of their names, JPEG and PNG, names with blanks and of another script."""
    root = tmp_path_factory.mktemp("source")
    rng = np.random.default_rng(0)
    for name in ("zoë/1.jpg", "zoë/a b.png", "ada/1.jpg", "ada/deep/2.jpg", "50%/x.y.jpg", "東/1.png", "東/10.jpg"):
        write_image(root / name, rng.integers(256, size=(16, 12, 3), dtype=np.uint8))
    (root / "classes.txt").write_text("zoë\nada\n50%\n東\n", encoding="utf-8")
    return root


def content(data):
    """(class, bytes) of every sample, in order."""
    return [(data.classes[label], data.encoded(i)) for i, label in enumerate(data.labels)]


@pytest.fixture(scope="module")
def converted(source, tmp_path_factory):
    """The source in every format, in two parts."""
    folder, data = tmp_path_factory.mktemp("converted"), open_dataset(str(source))
    return {format: convert(data, writer_of(folder, format), Options(part_size=4)) for format in FORMATS}


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("by", FORMATS)
def test_every_format_holds_the_same_data_as_every_other(source, converted, tmp_path, by, to):
    data, between = open_dataset(str(source)), open_dataset(str(converted[by].path))
    done = convert(between, writer_of(tmp_path, to))
    result = open_dataset(str(done.path))

    assert content(result) == content(between) == content(data)
    assert result.classes == data.classes == ["zoë", "ada", "50%", "東"]
    np.testing.assert_array_equal(result.labels, data.labels)
    np.testing.assert_array_equal(result.read(1), data.read(1))
    assert done.manifest.digest == converted[by].manifest.digest and done.manifest.images == 7
    assert verify(done.path) == done.manifest
    if not WITHOUT_PATHS & {by, to}:
        assert [result.path(i) for i in range(7)] == [data.path(i) for i in range(7)]


@pytest.mark.parametrize("format", ["folder", "list"])
def test_a_pack_keeps_its_pairs_through_files(tmp_path, format):
    rng = np.random.default_rng(0)
    images = [encode_jpeg(rng.integers(256, size=(16, 16, 3), dtype=np.uint8)) for _ in range(5)]
    order = [0, 1, 2, 3, 0, 4, 1, 2]
    pickled = ([images[i] for i in order], [True, True, False, False])
    (tmp_path / "a.bin").write_bytes(pickle.dumps(pickled))
    between = convert(open_dataset(str(tmp_path / "a.bin")), writer_of(tmp_path, format)).path
    pairs = (between if format == "folder" else between.parent) / "pairs.txt"

    convert(open_dataset(str(between)), WRITERS.create(f"bin:path={tmp_path / 'b.bin'},pairs={pairs}"))

    assert pickle.loads((tmp_path / "b.bin").read_bytes()) == pickled  # noqa: S301 - written above
    verify(tmp_path / "b.bin")


def test_a_pack_is_verified_by_what_it_holds(source, tmp_path):
    done = convert(open_dataset(str(source)), writer_of(tmp_path, "bin"))
    assert done.manifest.images == len(open_dataset(str(done.path)))
    assert verify(done.path) == done.manifest


def test_worker_processes_write_the_same_bytes(source, tmp_path):
    data = open_dataset(str(source))
    one = convert(data, WRITERS.create(f"webdataset:path={tmp_path / 'one/x'}"), Options(part_size=2))
    two = convert(data, WRITERS.create(f"webdataset:path={tmp_path / 'two/x'}"), Options(part_size=2), workers=2)
    assert len(one.manifest.files) == 6 and two.manifest == one.manifest


def kill(source, folder, format, kills):
    script = Path(__file__).with_name("kill_convert.py")
    name = place(folder, format).relative_to(folder)
    command = [sys.executable, script, source, folder, format, name, str(kills), "0"]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="the conversion that is killed is a forked process")


@needs_fork
@pytest.mark.parametrize("format", ["folder", "rec", "webdataset"])
def test_killed_and_resumed_it_ends_with_the_same_bytes(source, tmp_path, format):
    assert kill(source, tmp_path, format, 3) == {"killed": 3, "resumed": ANY, "differing": []}


@needs_fork
@pytest.mark.slow
@pytest.mark.parametrize("format", WRITERS.names())
def test_killed_twenty_times_in_every_format(source, tmp_path, format):
    assert kill(source, tmp_path, format, 20) == {"killed": 20, "resumed": ANY, "differing": []}


@needs_fork
def test_killed_with_its_workers_it_goes_on_where_it_was(source, tmp_path):
    target = place(tmp_path, "rec")
    code = "import sys; from facezoo.cli import main; main(sys.argv[1:])"
    options = ["--part-size", "1", "--workers", "2"]
    run = subprocess.Popen([sys.executable, "-c", code, "convert", source, target, *options], start_new_session=True)
    staging = Staging(target.resolve())
    while run.poll() is None and not staging.part(2, ".record").exists():
        time.sleep(0.002)
    run.kill()
    assert run.wait() == -signal.SIGKILL and not target.exists()
    deadline = time.monotonic() + 30
    with pytest.raises(ProcessLookupError):  # the workers end with it
        while time.monotonic() < deadline:
            os.killpg(run.pid, 0)
            time.sleep(0.01)

    done = convert(open_dataset(str(source)), writer_of(tmp_path, "rec"), Options(part_size=1))

    assert done.resumed >= 1 and verify(target).images == 7
    there = [path.name for path in tmp_path.iterdir() if path.suffix != ".index"]
    assert sorted(there) == sorted([*done.manifest.files, "rec.rec.facezoo.json"])


def stop_after_parts(monkeypatch):
    """Interrupt a conversion where all of its parts are written."""

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(FolderWriter, "finish", interrupted)


def test_other_data_or_options_do_not_continue_what_was_interrupted(source, tmp_path, monkeypatch):
    data, writer = open_dataset(str(source)), writer_of(tmp_path, "folder")
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        stop_after_parts(patched)
        convert(data, writer)
    with pytest.raises(InputError, match=r"interrupted had another check; .* or begin anew with --force"):
        convert(data, writer, Options(check=False))
    other = DATASETS.create(f"folder:root={source},min_images=2")
    with pytest.raises(InputError, match="interrupted had another labels, images, files;"):
        convert(other, writer)
    assert convert(data, writer).resumed == 7
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        stop_after_parts(patched)
        convert(data, writer, force=True)
    done = convert(other, writer, force=True)
    assert (done.resumed, done.manifest.images) == (0, 6) and verify(done.path)


def test_what_is_there_is_replaced_by_force_alone(source, tmp_path):
    data, writer = open_dataset(str(source)), writer_of(tmp_path, "rec")
    convert(data, writer)
    with pytest.raises(InputError, match=r"rec\.rec: is there already; .* --force"):
        convert(data, writer)
    small = DATASETS.create(f"folder:root={source},min_images=2")
    assert convert(small, writer, force=True).manifest.images == verify(writer.path).images == 6
    other = WRITERS.create(f"rec:path={tmp_path / 'other.rec'}")
    with pytest.raises(InputError, match=r"rec\.rec, and such files need a folder each"):
        convert(data, other, force=True)
    assert not other.path.exists() and verify(writer.path).images == 6


def test_two_results_of_one_name_share_the_names_of_their_classes(source, tmp_path):
    data = open_dataset(str(source))
    convert(data, WRITERS.create(f"rec:path={tmp_path / 'a.rec'}"))
    convert(data, WRITERS.create(f"parquet:path={tmp_path / 'a.parquet'}"))
    assert verify(tmp_path / "a.rec").digest == verify(tmp_path / "a.parquet").digest


def test_force_does_not_replace_a_folder_of_other_files(source, tmp_path):
    data, writer = open_dataset(str(source)), writer_of(tmp_path, "list")
    (tmp_path / "list").mkdir()
    assert convert(data, writer).manifest.images == 7  # an empty folder is as good as none
    assert convert(data, writer, force=True).manifest.images == 7
    (tmp_path / "list" / "train.txt.facezoo.json").unlink()
    with pytest.raises(InputError, match=r"holds other files than a converted train\.txt"):
        convert(data, writer, force=True)


@pytest.fixture
def damaged(source, tmp_path):
    """The source with one truncated image, the only one of its person, and one that is none."""
    root = tmp_path / "damaged"
    shutil.copytree(source, root)
    (root / "50%/x.y.jpg").write_bytes((root / "50%/x.y.jpg").read_bytes()[:300])
    (root / "zoë/1.jpg").write_bytes(b"no image")
    return root


def test_an_unreadable_image_fails_a_conversion_that_goes_on_once_it_is_repaired(source, damaged, tmp_path):
    writer = writer_of(tmp_path, "rec")
    with pytest.raises(InputError, match=r"1\.jpg: not an image .*; repair it, or .* --unreadable skip"):
        convert(open_dataset(str(damaged)), writer, Options(part_size=1))
    assert not writer.path.exists()
    shutil.copytree(source, damaged, dirs_exist_ok=True)
    assert convert(open_dataset(str(damaged)), writer, Options(part_size=1)).manifest.images == 7
    with pytest.raises(InputError, match="unreadable=skip looks at every image"):
        Options(unreadable="skip", check=False)


def test_the_first_image_may_be_damaged_where_images_are_copied_unseen(source, tmp_path):
    shutil.copytree(source, tmp_path / "cut")
    (tmp_path / "cut/zoë/1.jpg").write_bytes((source / "zoë/1.jpg").read_bytes()[:300])
    done = convert(open_dataset(str(tmp_path / "cut")), writer_of(tmp_path, "rec"), Options(check=False))
    assert done.manifest.images == 7 and done.path.with_name("property").read_text() == "4,16,12"


@pytest.mark.parametrize("format", FORMATS)
def test_unreadable_images_are_skipped_and_listed(source, damaged, tmp_path, format):
    done = convert(open_dataset(str(damaged)), writer_of(tmp_path, format), Options(2, unreadable="skip"), workers=1)

    result = open_dataset(str(done.path))
    assert (len(result), result.classes, done.manifest.skipped) == (5, ["zoë", "ada", "東"], 2)
    lines = done.skipped.read_text(encoding="utf-8").splitlines()
    assert [line.split("\t")[0] for line in lines] == ["zoë/1.jpg", "50%/x.y.jpg"] and "not an image" in lines[0]
    verify(done.path)


def test_images_are_encoded_anew_on_wish(source, tmp_path):
    data = open_dataset(str(source))
    done = convert(data, writer_of(tmp_path, "folder"), Options(recoding=Recoding("png", size=8)))
    result = open_dataset(str(done.path))
    assert result.path(0) == "zoë/1.png" and result.read(0).shape == (8, 8, 3)
    exact = convert(data, writer_of(tmp_path, "rec"), Options(recoding=parse_recoding("png", None)))
    np.testing.assert_array_equal(open_dataset(str(exact.path)).read(6), data.read(6))
    for bad in ("gif", "jpeg:quality=0", "png:quality=9", "jpeg:x=1"):
        with pytest.raises(InputError, match="quality"):
            parse_recoding(bad, None)


def test_names_that_no_folder_can_have_come_back(source, tmp_path):
    data = open_dataset(str(source))
    data.classes = ["a/b", "..", ".hidden", "a%2Fb"]
    done = convert(data, writer_of(tmp_path, "folder"))
    result = open_dataset(str(done.path))
    assert result.classes == data.classes and verify(done.path).digest == done.manifest.digest
    assert {path.name for path in done.path.iterdir() if path.is_dir()} == {"a%2Fb", "%2E.", "%2Ehidden", "a%252Fb"}


def test_what_no_format_holds_is_said(source, tmp_path, caplog):
    data = DATASETS.create(f'multi:sets=["folder:root={source}"],weights=[2],separate=true')
    with caplog.at_level(logging.WARNING):
        assert convert(data, writer_of(tmp_path, "rec")).manifest.classes == 4
    assert "weights and label spaces of the source are left out" in caplog.text


class Elsewhere(Folder):
    """Gives paths as a foreign index may hold them."""

    def path(self, index):
        return f"../{index}.jpg"


def test_a_path_that_leads_out_of_the_result_is_refused(source, tmp_path):
    with pytest.raises(InputError, match=r"its path '\.\./0\.jpg' leads out"):
        convert(Elsewhere(source), writer_of(tmp_path, "folder"))


def test_two_images_under_one_name_are_refused_in_a_folder(source, tmp_path):
    (tmp_path / "twice.txt").write_text("ada/1.jpg 0\nada/1.jpg 0\n")
    data = DATASETS.create(f"list:path={tmp_path / 'twice.txt'},root={source}")
    with pytest.raises(InputError, match=r"two images of the source would be the file 0/ada/1\.jpg"):
        convert(data, writer_of(tmp_path, "folder"))


def test_room_on_the_disk_is_asked_for_first(source, tmp_path, monkeypatch):
    free = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    with pytest.raises(InputError, match=r"about 0\.0 GB are needed while converting"):
        convert(open_dataset(str(source)), writer_of(tmp_path, "rec"))


def test_verify_tells_what_is_not_as_it_was_written(source, tmp_path):
    done = convert(open_dataset(str(source)), writer_of(tmp_path, "folder"))
    with pytest.raises(InputError, match=r"has no .*facezoo\.json"):
        verify(source)
    image = done.path / "ada/1.jpg"
    shutil.copy(done.path / "zoë/1.jpg", image)
    with pytest.raises(InputError, match="an image or its class is not what was written"):
        verify(done.path)
    image.unlink()
    with pytest.raises(InputError, match="6 images of 4 classes, 7 of 4 were written"):
        verify(done.path)
    (done.path / "classes.txt").write_text("a\n")
    with pytest.raises(InputError, match=r"classes\.txt: is not the file that was written: 2 bytes instead of"):
        verify(done.path)


@pytest.mark.parametrize("text", ["", "[]", '{"format": "rec"}', '{"files": {"../x": {}}}'])
def test_a_manifest_that_is_none_is_refused(tmp_path, text):
    (tmp_path / "facezoo.json").write_text(text)
    with pytest.raises(InputError, match="not a manifest of a dataset"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("where", ["notes.txt", "ada/notes.txt", "new/1.jpg", "ada/new.jpg"])
def test_force_spares_a_folder_with_a_file_that_is_not_of_the_result(source, tmp_path, where):
    data, writer = open_dataset(str(source)), writer_of(tmp_path, "folder")
    convert(data, writer)
    other = writer.path / where
    other.parent.mkdir(exist_ok=True)
    other.write_text("mine")
    with pytest.raises(InputError, match="is not of the dataset that would be replaced"):
        convert(data, writer, force=True)
    assert other.read_text() == "mine" and (writer.path / "ada/1.jpg").is_file()


def test_force_spares_another_dataset_in_the_folder_of_the_result(source, tmp_path):
    data, folder = open_dataset(str(source)), tmp_path / "loss"
    convert(data, WRITERS.create(f"rec:path={folder / 'train.rec'}"))
    for spec in (f"list:path={folder / 'list.txt'}", f"folder:path={folder}"):
        with pytest.raises(InputError, match="holds other files than a converted"):
            convert(data, WRITERS.create(spec), force=True)
    verify(folder / "train.rec")


def test_a_name_that_no_list_of_classes_holds_is_refused_before_anything_is_written(source, tmp_path, monkeypatch):
    data = open_dataset(str(source))
    data.classes = ["a\nb", *data.classes[1:]]
    monkeypatch.setattr("facezoo.data.convert.spread", pytest.fail)
    with pytest.raises(InputError, match=r"'a\\nb' is no name of a class"):
        convert(data, writer_of(tmp_path, "rec"))


def test_an_image_that_changed_since_the_interruption_is_not_mixed_with_older_ones(
    source, tmp_path, monkeypatch, caplog
):
    shutil.copytree(source, tmp_path / "own")
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        stop_after_parts(patched)
        convert(open_dataset(str(tmp_path / "own")), writer_of(tmp_path, "folder"))
    first = sorted((tmp_path / "own").rglob("*.jpg"))[0]
    os.utime(first, ns=(1, 1))
    assert convert(open_dataset(str(tmp_path / "own")), writer_of(tmp_path, "folder")).resumed == 0
    assert "images of the source have changed since an interruption: begun anew" in caplog.text


@pytest.mark.parametrize("format", ["folder", "list"])
def test_an_identity_called_as_a_file_of_the_format_is_refused_before_anything_is_written(
    source, tmp_path, monkeypatch, format
):
    data, writer = open_dataset(str(source)), writer_of(tmp_path, format)
    monkeypatch.setattr("facezoo.data.convert.spread", pytest.fail)
    for name in sorted(writer.own):
        data.classes = [name, *data.classes[1:]]
        with pytest.raises(InputError, match=f"the identity '{name}' has the name of one of its own files"):
            convert(data, writer)


def test_a_pack_says_how_many_images_are_in_no_pair(source, tmp_path):
    done = convert(open_dataset(str(source)), WRITERS.create(f"bin:path={tmp_path / 'few.bin'},pairs=2"))
    assert done.manifest.images + done.left_out == 7 and done.left_out > 0


def test_a_second_rec_of_a_folder_is_refused_before_anything_is_written(source, tmp_path, monkeypatch):
    data = open_dataset(str(source))
    convert(data, WRITERS.create(f"rec:path={tmp_path / 'a.rec'}"))
    monkeypatch.setattr("facezoo.data.convert.spread", pytest.fail)
    for force in (False, True):
        with pytest.raises(InputError, match=r"holds a\.rec, and such files need a folder each"):
            convert(data, WRITERS.create(f"rec:path={tmp_path / 'b.rec'}"), force=force)


def test_a_result_within_the_folder_it_is_made_from_is_refused(source):
    with pytest.raises(InputError, match="whose images it would become"):
        convert(open_dataset(str(source)), WRITERS.create(f"rec:path={source / 'train.rec'}"))
