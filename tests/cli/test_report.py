"""pyane report."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from fake_results import peak, result, training
from markdown_tables import headings, tables
from pyane.cli import main


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    result("m4max", training=[training(66)], peak=peak({64: 11})).save("a.json")
    result(None, kind="emulator", training=[training(900)]).save("b.json")
    return tmp_path


def says(capsys: pytest.CaptureFixture[str], *args: str, code: int = 0) -> tuple[str, str]:
    assert main(["report", *args]) == code, capsys.readouterr()
    out, err = capsys.readouterr()
    return out, err


def test_markdown_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = says(capsys, "a.json", "b.json")
    assert err == ""
    assert "On the emulator" in headings(out)
    assert "| M4 Max | 66.0 |" in out


def test_community_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = says(capsys, "--community")
    assert err == ""
    assert len(tables(out)) == 7


def test_community_with_results(capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = says(capsys, "--community", "a.json")
    assert "| M4 Max | 64.0-66.0 |" in out
    assert "| M1 Pro | 148-163 |" in out


def test_no_results(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = says(capsys)
    assert "No results given: see pyane bench, or pyane report --community." in err
    assert headings(out)[1] == "Cross-generation MIL compatibility"


@pytest.mark.parametrize("name", ["report.md", "report.html", "REPORT.HTML", "report.pdf"])
def test_files(capsys: pytest.CaptureFixture[str], here: Path, name: str) -> None:
    if name.endswith("pdf"):
        pytest.importorskip("reportlab")
    out, _ = says(capsys, "a.json", "-o", name)
    assert out == f"{name}\n"
    beginning = {"md": b"# Apple", "html": b"<!doctype html>", "pdf": b"%PDF-"}
    assert (here / name).read_bytes().startswith(beginning[name.lower().partition(".")[2]])
    assert sorted(p.name for p in here.iterdir()) == sorted(["a.json", "b.json", name])


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_pictures_beside_markdown(
    capsys: pytest.CaptureFixture[str], here: Path, kind: str
) -> None:
    out, _ = says(capsys, "--community", "-o", "my report.md", "--pictures", kind)
    text = (here / "my report.md").read_text()
    names = [f"my_report-ane-{chart}.{kind}" for chart in ("training", "peak", "sustained")]
    assert out.split("\n") == ["my report.md", *names, ""]
    assert re.findall(r"!\[[^\]]*\]\(<([^>]*)>\)", text) == names
    assert all((here / name).stat().st_size > 2000 for name in names)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("a.json", "-o", "x.docx"), "--output x.docx: must end in .md, .html, .pdf, got .docx"),
        (("a.json", "-o", "x"), "--output x: must end in .md, .html, .pdf, got nothing"),
        (("a.json", "-o", "x.md", "--pictures", "gif"), "--pictures must be png or svg, got gif"),
        (("a.json", "-o", "x.pdf", "--pictures", "png"), "--pictures is for Markdown"),
        (("a.json", "--pictures", "png"), "add --output report.md"),
        (("broken.json",), "broken.json:1:3: no JSON"),
        (("foreign.json",), "foreign.json: must be a benchmark result"),
        (("none",), "none: must hold results"),
    ],
)
def test_refusals(
    capsys: pytest.CaptureFixture[str], here: Path, args: tuple[str, ...], message: str
) -> None:
    (here / "broken.json").write_text("{ ")
    (here / "foreign.json").write_text(json.dumps({"name": "x"}))
    (here / "none").mkdir()
    out, err = says(capsys, *args, code=2)
    assert out == ""
    assert err.startswith("pyane: error: ")
    assert message in err
    assert err.count("\n") == 1
    assert not list(here.glob("x*"))


@pytest.mark.parametrize("name", ["nope.json", "nope.txt", "nope"])
def test_a_missing_file(capsys: pytest.CaptureFixture[str], name: str) -> None:
    _, err = says(capsys, name, code=2)
    assert err == f"pyane: error: {name}: No such file or directory\n"


def test_a_place_that_cannot_be_written(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    (here / "file").write_text("")
    _, err = says(capsys, "a.json", "-o", "file/report.html", code=2)
    assert "--output file/report.html: could not be written (Not a directory)" in err
