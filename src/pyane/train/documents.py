"""Text files as documents, without holding a file in memory."""

from __future__ import annotations

import codecs
import dataclasses
import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from ..errors import DataError
from .files import check_readable

# A line that separates documents in published corpora (TinyStories among them).
END_OF_TEXT = "<|endoftext|>"
_BLANK_LINE = re.compile(r"\n[ \t]*\n")

_BLOCK = 1 << 20
# A document is encoded at once.
_MAX_DOCUMENT = 1 << 26


@dataclasses.dataclass(frozen=True)
class TextFile:
    """A text file that has been read through once.

    Attributes:
        path: The file.
        n_bytes: Its size.
        sha256: Hash of its bytes.
        has_marker: Documents are separated by `<|endoftext|>`, else by blank lines.
    """

    path: Path
    n_bytes: int
    sha256: str
    has_marker: bool

    def documents(self) -> Iterator[str]:
        """The documents in their order, as `pyane.train.data.split_documents` gives them.

        Raises:
            DataError: The file changed since it was read through, or a document is absurdly long.
        """
        split = self._split_marker if self.has_marker else _BLANK_LINE.split
        rest = ""
        try:
            # Line ends become newlines here.
            with self.path.open(encoding="utf-8-sig", newline=None) as file:
                while block := file.read(_BLOCK):
                    # A separator may begin in one block and end in the next.
                    *whole, rest = split(rest + block)
                    yield from filter(None, map(_document, whole))
                    if len(rest) > _MAX_DOCUMENT:
                        msg = (
                            f"{self.path}: a document has more than {_MAX_DOCUMENT} characters; "
                            f"separate documents by {END_OF_TEXT} or by blank lines"
                        )
                        raise DataError(msg)
        except (UnicodeDecodeError, OSError) as e:
            msg = f"{self.path}: text file changed while it was read ({e})"
            raise DataError(msg) from e
        if last := _document(rest):
            yield last

    @staticmethod
    def _split_marker(text: str) -> list[str]:
        return text.split(END_OF_TEXT)


def _document(part: str) -> str:
    return part.strip("\n") if part.strip() else ""


def scan(path: Path, on_bytes: Callable[[int], None] = lambda _: None) -> TextFile:
    """Read a text file through: is it UTF-8, how are its documents separated, what is its hash?

    Args:
        path: The file.
        on_bytes: Told how many more bytes have been read.

    Raises:
        DataError: Missing, unreadable, a folder, empty, or not UTF-8 (with the place).
    """
    check_readable(path, "text file")
    digest = hashlib.sha256()
    decoder = codecs.getincrementaldecoder("utf-8")()
    n_bytes, n_lines, tail = 0, 1, ""
    has_text = has_marker = False
    try:
        with path.open("rb") as file:
            while True:
                block = file.read(_BLOCK)
                pending = len(decoder.getstate()[0])  # of a character that the last block cut
                try:
                    text = decoder.decode(block, final=not block)
                except UnicodeDecodeError as e:
                    line = n_lines + e.object.count(b"\n", 0, e.start)
                    msg = (
                        f"{path}:{line}: text must be UTF-8, got byte 0x{e.object[e.start]:02x} at "
                        f"offset {n_bytes - pending + e.start}"
                    )
                    raise DataError(msg) from e
                if not block:
                    break
                digest.update(block)
                n_bytes += len(block)
                n_lines += block.count(b"\n")
                has_text = has_text or bool(text.lstrip("\ufeff").strip())
                has_marker = has_marker or END_OF_TEXT in tail + text
                tail = (tail + text)[1 - len(END_OF_TEXT) :]
                on_bytes(len(block))
    except OSError as e:
        msg = f"{path}: text file cannot be read ({e.strerror})"
        raise DataError(msg) from e
    if not has_text:
        msg = f"{path}: text file holds no text ({n_bytes} bytes)"
        raise DataError(msg)
    return TextFile(path, n_bytes, digest.hexdigest(), has_marker)
