"""A report to a file; the suffix decides about the form."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..atomic_file import atomic_write
from ..errors import ConfigError
from .charts import picture
from .html import render_html
from .markdown import render_markdown
from .pdf import render_pdf

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .document import Document

SUFFIXES: Final = (".md", ".html", ".pdf")
PICTURES: Final = ("png", "svg")


def check_output(path: Path, pictures: str = "") -> None:
    """Whether a report can be written there, as far as the names tell.

    Raises:
        ConfigError: The suffix is none of SUFFIXES; `pictures` is none of PICTURES, or given for
            a form that holds its own.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        msg = f"--output {path}: must end in {', '.join(SUFFIXES)}, got {suffix or 'nothing'}"
        raise ConfigError(msg)
    if pictures and pictures not in PICTURES:
        msg = f"--pictures must be {' or '.join(PICTURES)}, got {pictures}"
        raise ConfigError(msg)
    if pictures and suffix != ".md":
        msg = f"--pictures is for Markdown; {suffix} holds its charts, got --output {path}"
        raise ConfigError(msg)


def write_report(document: Document, path: Path, pictures: str = "") -> Sequence[Path]:
    """Write a report; a file is replaced whole or not at all.

    Args:
        document: The report.
        path: File that ends in .md, .html or .pdf.
        pictures: "png" or "svg": Markdown gets charts as pictures beside it, named after it.

    Returns:
        The files written, the report first.

    Raises:
        ConfigError: As `check_output`.
        OSError: A file cannot be written.
    """
    check_output(path, pictures)
    suffix = path.suffix.lower()
    beside: dict[str, Path] = {}
    if suffix == ".html":
        content = render_html(document).encode()
    elif suffix == ".pdf":
        content = render_pdf(document)
    else:
        # A name that needs no quoting in Markdown, whatever the report's is.
        stem = re.sub(r"[^\w.-]", "_", path.stem)
        if pictures:
            beside = {c.id: path.with_name(f"{stem}-{c.id}.{pictures}") for c in document.charts}
        names = {name: file.name for name, file in beside.items()}
        content = render_markdown(document, names).encode()
    for chart in document.charts if beside else ():
        with atomic_write(beside[chart.id]) as file:
            file.write(picture(chart, pictures))
    with atomic_write(path) as file:
        file.write(content)
    return [path, *beside.values()]
