"""Published corpora, from the Hugging Face Hub by the library `huggingface_hub`."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from ..errors import ConfigError, DataError

_BLOCK = 1 << 22
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Where a corpus is.

    Attributes:
        repository: On the Hub, a data set.
        parts: File by name of its part.
        licence: What its publisher says.
    """

    repository: str
    parts: Mapping[str, str]
    licence: str


CORPORA: Mapping[str, Corpus] = MappingProxyType(
    {
        # Eldan & Li 2023, arXiv:2305.07759. The stories that GPT-4 wrote.
        "tinystories": Corpus(
            repository="roneneldan/TinyStories",
            parts=MappingProxyType(
                {
                    "train": "TinyStoriesV2-GPT4-train.txt",
                    "valid": "TinyStoriesV2-GPT4-valid.txt",
                }
            ),
            licence="CDLA-Sharing-1.0",
        ),
    }
)


def download(
    name: str,
    part: str,
    folder: Path,
    *,
    revision: str = "main",
    endpoint: str | None = None,
) -> Path:
    """Download a part of a corpus, or find it downloaded, and check its size and hash.

    An interrupted download goes on where it stopped when it is asked for again.

    Args:
        name: A key of `CORPORA`.
        part: One of the corpus's parts.
        folder: Where the file goes.
        revision: Branch, tag or commit of the repository.
        endpoint: Address of the Hub; None: that of `huggingface_hub` (HF_ENDPOINT).

    Raises:
        ConfigError: No such corpus or part.
        DataError: The library is absent, the Hub cannot be reached, or what came is not what it announces.
    """
    if name not in CORPORA:
        msg = f"corpus must be one of {', '.join(CORPORA)}, got {name}"
        raise ConfigError(msg)
    corpus = CORPORA[name]
    if part not in corpus.parts:
        msg = f"--part must be one of {', '.join(corpus.parts)}, got {part}"
        raise ConfigError(msg)
    try:
        import huggingface_hub as hub  # noqa: PLC0415  (optional)
    except ImportError as e:
        msg = (
            "downloads need the library huggingface_hub, which is not installed: "
            "pip install 'pyane[huggingface]'"
        )
        raise DataError(msg) from e
    file = corpus.parts[part]
    where = {"repo_type": "dataset", "revision": revision, "endpoint": endpoint}
    url = hub.hf_hub_url(corpus.repository, file, **where)
    try:
        announced = hub.get_hf_file_metadata(url, endpoint=endpoint)
        path = Path(hub.hf_hub_download(corpus.repository, file, local_dir=folder, **where))
    # The library raises what its HTTP library does, of which there have been several.
    except Exception as e:
        msg = f"{url}: could not be downloaded ({' '.join(str(e).split())[:300]})"
        raise DataError(msg) from e
    _check(path, announced.size, announced.etag)
    return path


def _check(path: Path, size: int | None, etag: str | None) -> None:
    """Size, and hash where the Hub tells it: it does for all large files."""
    n_bytes = path.stat().st_size
    if n_bytes != size:
        msg = (
            f"{path}: must have {size} bytes, as announced, got {n_bytes}; delete it and try again"
        )
        raise DataError(msg)
    if etag is None or not _SHA256.fullmatch(etag):
        return
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    if digest.hexdigest() != etag:
        msg = (
            f"{path}: SHA-256 must be {etag}, as announced, got {digest.hexdigest()}; delete it and try "
            "again"
        )
        raise DataError(msg)
