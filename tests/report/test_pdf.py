"""PDF reports."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from fake_results import HOSTILE, written_by
from pyane.report import build
from pyane.report.document import Bullets, Code, CodeBlock, Document, Paragraph, Section, Table

pytest.importorskip("reportlab")
from pyane.report.pdf import render_pdf


def n_pages(pdf: bytes) -> int:
    (count,) = re.findall(rb"/Count (\d+)", pdf)
    return int(count)


def words(pdf: bytes, folder: Path) -> str:
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext (poppler) is not installed")
    (folder / "x.pdf").write_bytes(pdf)
    done = subprocess.run(
        ["pdftotext", "-layout", folder / "x.pdf", "-"], capture_output=True, check=True, text=True
    )
    return " ".join(done.stdout.split())


def test_pages() -> None:
    pdf = render_pdf(build(community=True))
    assert pdf.startswith(b"%PDF-")
    assert pdf.rstrip().endswith(b"%%EOF")
    assert 2 <= n_pages(pdf) <= 8
    assert len(re.findall(rb"/Subtype /Image", pdf)) >= 3  # charts
    assert pdf == render_pdf(build(community=True))


def test_it_holds_the_tables(tmp_path: Path) -> None:
    text = words(render_pdf(build(community=True)), tmp_path)
    for row in (
        "M1 Pro 148-163 32-35 7.9-8.5s 0.57-0.63 3.6-4.0 @moriwang",
        "M3 Ultra* 91 ~10 ~3.7s 0.88 5.6 (repo ref)",
        "M5 (other) 16 12.44 not disclosed",
        "Channel flexibility none none ch=512 FLEX FLEX",
    ):
        assert row in text


def test_text_stays_text(tmp_path: Path) -> None:
    evil = [*HOSTILE, "<b>bold</b> &amp; <a href='http://evil.example'>x</a>", "<para>", "<br/>"]
    table = Table(("a", "b"), tuple((text, Code(text)) for text in evil), "lr", tuple(evil))
    blocks = (
        *(Paragraph((text, Code(text))) for text in evil),
        *(CodeBlock(text) for text in evil),
        Bullets(tuple(evil)),
        table,
    )
    pdf = render_pdf(Document(evil[0], tuple(evil), (Section(evil[1], blocks),)))
    assert b"/URI" not in pdf  # no links
    text = words(pdf, tmp_path)
    for line in evil:
        assert text.count(" ".join(line.split())) >= 5, line


def test_a_report_of_hostile_results() -> None:
    assert b"/URI" not in render_pdf(build(written_by("<a href='http://evil.example'>x</a>")))


def test_long_text_goes_over_pages() -> None:
    long = "word " * 5000
    wide = tuple(f"column {i}" for i in range(30))
    document = Document(
        "t",
        (),
        (
            Section("s", (Bullets((long,)), Paragraph("x" * 9000))),
            Section("s", (Table(("a", "b"), (("1", long[:8000]),) * 3, "ll"),)),
            Section("s", (Table(wide, (wide,) * 60, "l" * 30),)),
        ),
    )
    assert n_pages(render_pdf(document)) > 8
