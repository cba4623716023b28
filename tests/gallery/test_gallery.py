import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from facezoo.gallery import Gallery
from facezoo.types import Contract, InputError, unit

CONTRACT = Contract(name="toy", embedding_dim=4, threshold=0.5, weights_sha256="a" * 64)
X, Y, Z, W = np.eye(4)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "people.db"


@pytest.fixture
def gallery(path):
    with Gallery(path, CONTRACT) as opened:
        yield opened


def test_the_most_similar_identity_comes_first(gallery):
    gallery.add("ada", [3 * X, X + Y], source=["a1.jpg", "a2.jpg"])
    gallery.add("bob", Y, source="b.jpg")
    ((first, second),) = gallery.search(X + 0.9 * Y)
    assert (first.name, first.source, first.known) == ("ada", "a2.jpg", True)
    assert first.score == pytest.approx(1.9 / (2 * 1.81) ** 0.5)
    assert (second.name, second.known) == ("bob", True)


def test_below_the_threshold_nobody_is_known(gallery):
    gallery.add("ada", X)
    query = [0.4, 1, 0, 0]
    assert gallery.search(query)[0][0].known is False
    assert gallery.search(query, threshold=0.3)[0][0].known is True


def test_a_threshold_that_is_no_cosine_is_refused(gallery):
    with pytest.raises(InputError, match="threshold is 90, a cosine lies between -1 and 1"):
        gallery.search([1, 0], threshold=90)


def test_without_any_threshold_known_is_undecided(path):
    with Gallery(path, replace(CONTRACT, threshold=None)) as gallery:
        gallery.add("ada", X)
        assert gallery.search(X)[0][0].known is None
        assert gallery.search(X, threshold=0.9)[0][0].known is True


def test_the_mean_over_photos_is_an_option(gallery):
    gallery.add("ada", [X, Y])
    gallery.add("bob", X + Y)
    assert gallery.search(X, photos="mean")[0][0].name == "bob"
    assert gallery.search(X, photos="mean")[0][1].score == pytest.approx(0.5)
    assert gallery.search(X, photos="best")[0][0].name == "ada"


def test_equal_scores_come_in_the_order_of_the_names(gallery):
    for name in ("eve", "ada", "bob", "zoe"):
        gallery.add(name, X)
    assert [hit.name for hit in gallery.search(X, k=3)[0]] == ["ada", "bob", "eve"]


def test_what_was_added_is_there_when_opened_again(path):
    with Gallery(path, CONTRACT, model="toy-spec") as gallery:
        gallery.add("ada", X, source="a.jpg", digest="d1", metadata={"born": 1815})
    with Gallery(path) as gallery:
        assert gallery.contract == CONTRACT and gallery.model == "toy-spec"
        assert gallery.names() == ["ada"] and len(gallery) == gallery.photos == 1
        assert gallery.metadata("ada") == {"born": 1815}
        assert gallery.has("ada", "d1") and not gallery.has("ada", "d2") and not gallery.has("bob", "d1")
        assert gallery.search(X)[0][0].source == "a.jpg"


def test_adding_to_a_name_again_adds_photos(gallery):
    gallery.add("ada", X, metadata={"born": 1815})
    gallery.add("ada", Y)
    assert len(gallery) == 1 and gallery.photos == 2
    assert gallery.metadata("ada") == {"born": 1815}
    assert gallery.search(Y)[0][0].score == pytest.approx(1)


def test_names_of_any_script_and_both_unicode_forms(gallery):
    gallery.add("Zoë 東京", X)
    gallery.add("Zoe\u0308 東京", Y)  # the decomposed form, as some file systems give it
    assert gallery.names() == ["Zoë 東京"] and gallery.photos == 2
    assert "Zoe\u0308 東京" in gallery
    assert gallery.remove("Zoe\u0308 東京") == 2


@pytest.mark.parametrize("name", ["", "  ", "two\nlines", "x" * 501, "nul\0", "half \ud800"])
def test_an_unusable_name_is_refused(gallery, name):
    with pytest.raises(InputError, match="is no name"):
        gallery.add(name, X)
    assert len(gallery) == 0


def test_removed_identities_are_found_no_more(gallery):
    for name, vector in zip("abcd", (X, Y, Z, W)):
        gallery.add(name, vector)
    assert gallery.search(X)[0][0].name == "a"
    assert gallery.remove("a") == 1
    assert {hit.name for hit in gallery.search(X)[0]} == {"b", "c", "d"}
    gallery.add("e", X)
    assert gallery.search(X)[0][0].name == "e"
    assert gallery.photos == 4


def test_removing_a_stranger_names_who_is_near(gallery):
    gallery.add("Ada Lovelace", X)
    with pytest.raises(InputError, match="no identity 'Ada Lovelac'; there is Ada Lovelace"):
        gallery.remove("Ada Lovelac")


@pytest.mark.parametrize(
    "embeddings",
    [np.zeros(4), [np.nan, 0, 0, 1], np.ones(3), np.ones((2, 5)), np.ones((1, 2, 4)), [X, np.zeros(4)]],
    ids=["zero", "nan", "short", "long", "deep", "one zero"],
)
def test_embeddings_that_cannot_be_compared_are_refused(gallery, embeddings):
    for action in (lambda: gallery.add("ada", embeddings), lambda: gallery.search(embeddings)):
        with pytest.raises(InputError, match="embedding"):
            action()
    assert len(gallery) == 0


def test_as_many_sources_as_embeddings(gallery):
    for options in ({"source": ["a.jpg"]}, {"digest": ["1"]}, {"quality": [1.0]}):
        with pytest.raises(InputError, match="for 2 embeddings"):
            gallery.add("ada", [X, Y], **options)
    with pytest.raises(InputError, match="no embedding"):
        gallery.add("ada", np.empty((0, 4)))


def test_a_gallery_of_another_model_is_refused(path):
    Gallery(path, CONTRACT).close()
    for other, why in (
        (replace(CONTRACT, weights_sha256="b" * 64), "holds embeddings of toy"),
        (replace(CONTRACT, embedding_dim=8), "its embedding_dim is 4, the model's is 8"),
        (replace(CONTRACT, flip=False), "its flip is True"),
        (replace(CONTRACT, name="other", weights_sha256=""), "its name is toy, the model's is other"),
    ):
        with pytest.raises(InputError, match="gallery of another model") as error:
            Gallery(path, other)
        assert why in str(error.value)


def test_a_gallery_of_the_same_weights_is_taken(path):
    Gallery(path, CONTRACT).close()
    Gallery(path, replace(CONTRACT, name="renamed", threshold=0.3, license="MIT")).close()


def test_a_file_that_is_no_gallery_is_refused_and_left_alone(tmp_path):
    text, other = tmp_path / "photo.jpg", tmp_path / "other.db"
    text.write_bytes(b"no database at all" * 100)
    database = sqlite3.connect(other)
    database.execute("CREATE TABLE t (x)")
    database.commit()
    database.close()
    for file in (text, other):
        before = file.read_bytes()
        with pytest.raises(InputError, match="not a gallery"):
            Gallery(file, CONTRACT)
        assert file.read_bytes() == before
    with pytest.raises(InputError, match="is a folder"):
        Gallery(tmp_path, CONTRACT)


def test_only_a_model_makes_a_new_gallery(path):
    with pytest.raises(InputError, match="no such gallery"):
        Gallery(path)
    assert not path.exists()
    path.touch()
    with pytest.raises(InputError, match="an empty file, not a gallery"):
        Gallery(path)


def test_a_gallery_of_a_later_format_is_refused(path):
    Gallery(path, CONTRACT).close()
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(InputError, match="format 99"):
        Gallery(path)


def test_a_damaged_embedding_is_noticed(path):
    with Gallery(path, CONTRACT) as gallery:
        gallery.add("ada", X)
    database = sqlite3.connect(path)
    database.execute("UPDATE embeddings SET vector = x'00'")
    database.commit()
    database.close()
    with Gallery(path) as gallery, pytest.raises(InputError, match="damaged"):
        gallery.search(X)


def test_a_transaction_is_kept_whole_or_not_at_all(gallery):
    gallery.add("ada", X)
    with pytest.raises(KeyError), gallery.transaction():
        gallery.add("bob", Y)
        gallery.remove("ada")
        assert gallery.search(Y)[0][0].name == "bob"
        raise KeyError
    assert gallery.names() == ["ada"]
    assert [hit.name for hit in gallery.search(Y)[0]] == ["ada"]
    with gallery.transaction():
        gallery.add("cid", Z)
        gallery.add("dan", W)
    assert gallery.search(W)[0][0].name == "dan"


def test_a_full_disk_is_one_sentence_and_changes_nothing(gallery):
    gallery.add("ada", X)
    pages = gallery._store._db.execute("PRAGMA page_count").fetchone()[0]
    gallery._store._db.execute(f"PRAGMA max_page_count = {pages}")  # stands for the end of the disk
    with pytest.raises(InputError, match="nothing was changed: database or disk is full"):
        gallery.add("bob", np.tile(Y, (1000, 1)))
    gallery._store._db.execute("PRAGMA max_page_count = 100000")
    assert gallery.names() == ["ada"] and gallery.search(Y)[0][0].name == "ada"
    gallery.add("bob", Y)
    assert gallery.search(Y)[0][0].name == "bob"


def test_changes_of_another_process_are_seen(path, gallery):
    gallery.add("ada", X)
    assert gallery.search(Y)[0][0].name == "ada"
    code = (
        "import sys\nfrom facezoo.gallery import Gallery\n"
        "with Gallery(sys.argv[1]) as gallery:\n"
        "    gallery.add('bob', [0, 1, 0, 0])\n"
        "    gallery.remove('ada')\n"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    assert [hit.name for hit in gallery.search(Y)[0]] == ["bob"]


def test_threads_share_a_gallery(gallery):
    failures = []

    def work(number):
        try:
            for photo in range(10):
                gallery.add(f"person {number}", [number + 1, photo, 0, 0])
                assert gallery.search(X)[0]
        except BaseException as error:  # noqa: BLE001 - a thread's failure is raised by the test
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures and len(gallery) == 4 and gallery.photos == 40


def test_processes_may_make_one_gallery_at_once(path):
    code = (
        "import sys\nfrom facezoo.gallery import Gallery\nfrom facezoo.types import Contract\n"
        "sys.stdin.read()\n"
        "with Gallery(sys.argv[1], Contract(embedding_dim=4)) as gallery:\n"
        "    for photo in range(5): gallery.add('person ' + sys.argv[2], [1, photo, 0, 0])\n"
    )
    workers = [
        subprocess.Popen([sys.executable, "-c", code, str(path), str(number)], stdin=subprocess.PIPE)
        for number in range(4)
    ]
    for worker in workers:
        worker.stdin.close()
    assert [worker.wait() for worker in workers] == [0] * 4
    with Gallery(path) as gallery:
        assert len(gallery) == 4 and gallery.photos == 20


@pytest.mark.parametrize("delay", [0.05, 0.2, 0.35])
def test_a_killed_process_loses_nothing_committed_and_leaves_nothing_half_written(path, delay):
    code = (
        "import sys\nfrom facezoo.gallery import Gallery\nfrom facezoo.types import Contract\n"
        "with Gallery(sys.argv[1], Contract(embedding_dim=4)) as gallery:\n"
        "    for number in range(1, 100000):\n"
        "        gallery.add(f'person {number}', [[1, number, 0, 0]] * 3)\n"
        "        print(number, flush=True)\n"
    )
    worker = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    assert worker.stdout.readline() == "1\n"
    time.sleep(delay)
    os.kill(worker.pid, signal.SIGKILL)
    reported = [1, *(int(line) for line in worker.stdout.read().split("\n")[:-1])]
    worker.stdout.close()
    assert worker.wait() == -signal.SIGKILL
    with Gallery(path) as gallery:
        assert set(gallery.names()) >= {f"person {number}" for number in reported}
        assert len(gallery) <= len(reported) + 1  # one may be committed and not yet reported
        assert gallery.photos == 3 * len(gallery)
        assert gallery.search([1, reported[-1], 0, 0])[0][0].score == pytest.approx(1)
        gallery.add("after", [1, 0, 0, 0])
    database = sqlite3.connect(path)
    assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()


def test_a_hundred_thousand_photos_are_searched_exactly_in_bounded_memory(path):
    rng = np.random.default_rng(0)
    vectors = unit(rng.standard_normal((100_000, 64), np.float32))
    with Gallery(path, replace(CONTRACT, embedding_dim=64)) as gallery:
        with gallery.transaction():
            for number in range(0, 100_000, 20):
                gallery.add(f"person {number:05}", vectors[number : number + 20])
        queries = vectors[::1000] + 0.1 * rng.standard_normal((100, 64), np.float32)
        tracemalloc.start()
        found = gallery.search(queries, k=3)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 2 * vectors.nbytes + 20e6  # 26 MB of embeddings, their copy with room to grow, blocks of scores
    cosines = (unit(queries) @ vectors.T).reshape(100, 5000, 20).max(axis=2)
    wanted = np.argsort(-cosines, axis=1)[:, :3]
    assert [[int(hit.name[-5:]) // 20 for hit in hits] for hits in found] == wanted.tolist()
