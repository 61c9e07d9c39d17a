"""Downloads against a server on this host: whole, cut off, wrong and absent files."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hwnas.data import catalogue, download
from hwnas.data.catalogue import DataFile, PublishedData
from hwnas.errors import DataFormatError, DataNotFoundError, InvalidValueError

BODIES = {"made/a.bin": b"a" * 5000, "made/b.bin": b"b" * 3000}


class Server(ThreadingHTTPServer):
    """Serves `bodies`; a path in `cut` breaks off half-way, and every request is counted."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bodies = {f"/{path}": body for path, body in BODIES.items()}
        self.cut: set[str] = set()
        self.requests = Counter[str]()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests[self.path] += 1
        body = self.server.bodies.get(self.path)
        if body is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if self.path in self.server.cut else body)

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def made_up(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    files = tuple(
        DataFile(path, hashlib.sha256(body).hexdigest(), f"{server.url}/{path}")
        for path, body in BODIES.items()
    )
    by_hand = (DataFile("hand/c.bin", hashlib.sha256(b"c").hexdigest()),)
    entries = {
        "made-up": PublishedData("made-up", "Two files", "", "MIT", "", "", files),
        "hand": PublishedData("hand", "One file", "", "MIT", "", "Ask for c.bin.", by_hand),
    }
    monkeypatch.setattr(catalogue, "catalogue", lambda: entries)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_all_files_arrive(server: Server, tmp_path: Path) -> None:
    lines: list[str] = []
    paths = download.get("made-up", tmp_path, report=lines.append)
    assert contents(tmp_path) == BODIES
    assert paths == [tmp_path / path for path in BODIES]
    assert lines == [f"downloading {server.url}/{path}" for path in BODIES]


def test_only_what_is_missing_or_wrong_is_fetched(server: Server, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made/a.bin").write_bytes(BODIES["made/a.bin"])
    (tmp_path / "made/b.bin").write_bytes(b"an old version")
    download.get("made-up", tmp_path)
    assert contents(tmp_path) == BODIES
    assert server.requests == {"/made/b.bin": 1}


def test_wrong_checksum_leaves_nothing(server: Server, tmp_path: Path) -> None:
    server.bodies["/made/b.bin"] = b"x" * 3000
    with pytest.raises(DataFormatError, match=r"must have SHA-256.*nothing was kept") as caught:
        download.get("made-up", tmp_path)
    assert "\n" not in str(caught.value)
    assert contents(tmp_path) == {"made/a.bin": BODIES["made/a.bin"]}


def test_wrong_checksum_keeps_what_was_there(server: Server, tmp_path: Path) -> None:
    server.bodies["/made/a.bin"] = b"x"
    (tmp_path / "made").mkdir()
    (tmp_path / "made/a.bin").write_bytes(b"an old version")
    with pytest.raises(DataFormatError):
        download.get("made-up", tmp_path)
    assert contents(tmp_path) == {"made/a.bin": b"an old version"}


def test_cut_off_download_leaves_nothing_and_continues(server: Server, tmp_path: Path) -> None:
    server.cut = {"/made/b.bin"}
    with pytest.raises((DataNotFoundError, DataFormatError)):
        download.get("made-up", tmp_path)
    assert contents(tmp_path) == {"made/a.bin": BODIES["made/a.bin"]}
    server.cut = set()
    download.get("made-up", tmp_path)
    assert contents(tmp_path) == BODIES
    assert server.requests["/made/a.bin"] == 1


def test_absent_address_is_named(server: Server, tmp_path: Path) -> None:
    del server.bodies["/made/a.bin"]
    with pytest.raises(DataNotFoundError, match=r"a\.bin` must be reachable.*404"):
        download.get("made-up", tmp_path)
    assert contents(tmp_path) == {}


def test_absent_server_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match=r"must be reachable") as caught:
        download.get("made-up", tmp_path, base_url="http://127.0.0.1:1")
    assert "\n" not in str(caught.value)
    assert contents(tmp_path) == {}


def test_two_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(download.get, "made-up", tmp_path) for _ in range(4)]:
            done.result()
    assert contents(tmp_path) == BODIES


def test_mirror_is_laid_out_as_the_folder(server: Server, tmp_path: Path) -> None:
    server.bodies = {f"/mirror{path}": body for path, body in server.bodies.items()}
    download.get("made-up", tmp_path, base_url=f"{server.url}/mirror/")
    assert contents(tmp_path) == BODIES


def test_by_hand(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match=r"fetch by hand. Ask for c\.bin"):
        download.get("hand", tmp_path)
    server.bodies["/hand/c.bin"] = b"c"
    download.get("hand", tmp_path, base_url=server.url)
    assert contents(tmp_path) == {"hand/c.bin": b"c"}
    assert download.get("hand", tmp_path) == [tmp_path / "hand/c.bin"]


def test_folder_must_be_writable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(InvalidValueError, match="must be writable"):
        download.get("made-up", tmp_path / "file")


def test_what_is_too_large_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "LARGEST", 4000)
    with pytest.raises(DataFormatError, match=r"must have at most .*nothing was kept") as caught:
        download.get("made-up", tmp_path)
    assert "\n" not in str(caught.value)
    assert contents(tmp_path) == {}
