"""Results out of files and folders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fake_results import peak, result, training
from pyane.errors import ConfigError
from pyane.report.read import read_results

UPSTREAM = """\
some output
{"type": "step", "step": 1, "loss": 5.1, "t_ane": 9.0, "compiles": 9}
{"type": "batch", "batch": 1, "compile_ms": 3400, "train_ms": 700, "ms_per_step": 70.5}
{"type": "perf", "ane_tflops": 1.3, "ane_util_pct": 8.2}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    result("m4max", training=[training(66)], contributor="anna").save(tmp_path / "a.json")
    (tmp_path / "below").mkdir()
    result(None, kind="emulator", peak=peak({64: 0.2})).save(tmp_path / "below" / "b.json")
    (tmp_path / "below" / "m4_pro.txt").write_text(UPSTREAM)
    (tmp_path / "README.md").write_text("not a result")
    return tmp_path


def test_a_file(folder: Path) -> None:
    (read,) = read_results([folder / "a.json"])
    assert (read.device.chip, read.contributor) == ("m4max", "anna")


def test_a_folder_with_all_below(folder: Path) -> None:
    read = read_results([folder])
    assert [(r.device.kind, r.device.chip) for r in read] == [
        ("ane", "m4max"),
        ("emulator", None),
        ("ane", "m4pro"),
    ]
    assert read[2].origin.startswith("maderix/ANE")


def test_twice_is_once(folder: Path) -> None:
    read = read_results(["a.json", folder / "a.json", folder / "below" / ".." / "a.json"])
    assert len(read) == 1


def test_json_lines_in_a_json_file(folder: Path) -> None:
    (folder / "m5.json").write_text(UPSTREAM)
    (read,) = read_results(["m5.json"])
    assert read.device.chip == "m5"


def test_a_result_under_another_name(folder: Path) -> None:
    (folder / "a.json").rename(folder / "a.txt")
    (read,) = read_results([folder / "a.txt"])
    assert read.contributor == "anna"


def test_links_in_circles(folder: Path) -> None:
    (folder / "c.json").symlink_to(folder / "c.json")
    with pytest.raises(OSError, match=r"c\.json"):
        read_results([folder / "c.json"])


def test_nothing_there(folder: Path) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"empty: must hold results \(.json, .* got none"):
        read_results([folder / "empty"])
    with pytest.raises(FileNotFoundError, match=r"nope\.json"):
        read_results([folder / "nope.json"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "broken.json:1:1: no JSON"),
        (b"{", "broken.json:1:2: no JSON"),
        (b"[1]", "must be a benchmark result .* got a list"),
        (b'{"name": "x"}', "must be a benchmark result .* keys 'name'"),
        (b'{"schema": "pyane-benchmark-result", "version": 99}', "version must be 1, got 99"),
        (b"\xff\xfe", "must be JSON in UTF-8, got byte 0xff"),
        (b"[" * 100000, "broken.json: JSON is nested too deeply"),
        (b'{"schema": "pyane-benchmark-result", "version": NaN}', "finite, got NaN"),
    ],
)
def test_broken_and_foreign_files(folder: Path, content: bytes, message: str) -> None:
    (folder / "broken.json").write_bytes(content)
    with pytest.raises(ConfigError, match=message) as caught:
        read_results([folder / "a.json", folder / "broken.json"])
    assert "broken.json" in str(caught.value)


@pytest.mark.parametrize("key", ["median", "samples", "unit"])
def test_a_result_that_somebody_edited(folder: Path, key: str) -> None:
    data = json.loads((folder / "a.json").read_text())
    metric = data["benchmarks"][0]["cases"][0]["metrics"]["time"]
    metric[key] = {"median": 1.0, "samples": [], "unit": 3}[key]
    (folder / "a.json").write_text(json.dumps(data))
    with pytest.raises(ConfigError, match=r"a\.json: benchmarks\[0\]"):
        read_results([folder / "a.json"])
