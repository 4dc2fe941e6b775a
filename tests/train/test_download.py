"""Downloads, from a server on this machine that behaves as the Hugging Face Hub."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyane.errors import ConfigError, DataError
from pyane.train.download import CORPORA, download

CONTENT = b"One day.\n<|endoftext|>\nTwo days.\n" * 1000
FILE = CORPORA["tinystories"].parts["valid"]


class Hub(http.server.BaseHTTPRequestHandler):
    """One file. What it announces and what it sends are set by the test."""

    announced = CONTENT
    sent = CONTENT
    etag: str | None = None

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        if self.path != f"/datasets/roneneldan/TinyStories/resolve/main/{FILE}":
            self.send_error(404)
            return
        etag = self.etag or hashlib.sha256(self.announced).hexdigest()
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.sent if with_body else self.announced)))
        self.send_header("ETag", f'"{etag}"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.end_headers()
        if with_body:
            self.wfile.write(self.sent)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    pytest.importorskip("huggingface_hub")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def fetch(endpoint: str, folder: Path) -> Path:
    return download("tinystories", "valid", folder, endpoint=endpoint)


@pytest.mark.filterwarnings("default")  # the library's own
def test_download(endpoint: str, tmp_path: Path) -> None:
    path = fetch(endpoint, tmp_path)
    assert path == tmp_path / FILE
    assert path.read_bytes() == CONTENT
    assert fetch(endpoint, tmp_path) == path


@pytest.mark.filterwarnings("default")
def test_other_content_than_announced(
    endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Hub, "sent", CONTENT[:-1] + b"?")
    with pytest.raises(DataError, match=rf"SHA-256 must be {hashlib.sha256(CONTENT).hexdigest()}"):
        fetch(endpoint, tmp_path)


@pytest.mark.filterwarnings("default")
def test_a_truncated_file(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Hub, "sent", CONTENT[:-10])
    with pytest.raises(DataError, match=r"could not be downloaded|must have 33000 bytes"):
        fetch(endpoint, tmp_path)


@pytest.mark.filterwarnings("default")
def test_small_files_have_another_hash(
    endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A git object's, which says nothing that we check."""
    monkeypatch.setattr(Hub, "etag", "a" * 40)
    assert fetch(endpoint, tmp_path).read_bytes() == CONTENT


@pytest.mark.filterwarnings("default")
def test_failures(endpoint: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"TinyStoriesV2-GPT4-train\.txt: could not be downloaded"):
        download("tinystories", "train", tmp_path, endpoint=endpoint)
    with pytest.raises(ConfigError, match="corpus must be one of tinystories, got c4"):
        download("c4", "train", tmp_path)
    with pytest.raises(ConfigError, match="--part must be one of train, valid, got test"):
        download("tinystories", "test", tmp_path)


def test_the_library_is_optional(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(DataError, match=r"huggingface_hub, which is not installed: pip install"):
        download("tinystories", "valid", tmp_path)
