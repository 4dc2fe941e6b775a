from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pyane.bench.result import Benchmark, Case, DeviceFacts, HostFacts, Metric, Result, Software
from pyane.cli import main
from pyane.cli.compare import parse_fraction
from pyane.errors import ConfigError

Save = Callable[..., str]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    def write(name: str, factor: float, *, kind: str = "ane", status: str = "ok") -> str:
        metrics = {
            "time": Metric("ms", "lower", tuple(factor * x for x in (5.0, 5.1, 5.2, 5.3, 5.4)))
        }
        reason = None if status == "ok" else "[red]why[/red]\nmore"
        changing = Case("128x512", {}, status, reason, metrics if status == "ok" else {})
        stable = Case("stable", {}, metrics={"rate": Metric("GB/s", "higher", (1.0, 2.0))})
        numerics = "engine" if kind == "ane" else "ieee"
        path = tmp_path / name
        Result(
            "2026-11-22T14:00:00Z",
            Software("0.1.0", None),
            DeviceFacts(kind, None, None, numerics),
            HostFacts(),
            {"quick": True},
            (Benchmark("peak", (changing, stable)),),
        ).save(path)
        return str(path)

    return write


def test_exit_codes(save: Save, capsys: pytest.CaptureFixture[str]) -> None:
    a, slower, faster = save("a.json", 1.0), save("b.json", 1.5), save("c.json", 0.5)
    assert main(["compare", a, a]) == 0
    out = capsys.readouterr().out
    assert out == "No regressions beyond 0.05 and noise: 2 same\n"
    assert main(["compare", a, slower]) == 1
    out = capsys.readouterr().out
    assert "+50.0%" in out
    assert "1 regression beyond 0.05 and noise: 1 worse, 1 same" in out
    assert "stable" not in out
    assert main(["compare", a, faster]) == 0
    assert "1 better" in capsys.readouterr().out
    assert main(["compare", a, slower, "--threshold", "60%", "--all"]) == 0
    assert "stable" in capsys.readouterr().out


def test_a_case_that_is_refused_now(save: Save, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = save("a.json", 1.0), save("b.json", 1.0, status="refused")
    assert main(["compare", a, b]) == 1
    out = " ".join(capsys.readouterr().out.split())
    assert "broken: ok before, now refused:" in out
    assert "[red]why[/red]" in out  # Texts of files are no markup.


def test_names_in_files_are_no_markup(save: Save, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(save("a.json", 1.0))
    strange = json.loads(path.read_text())
    benchmark = strange["benchmarks"][0]
    metrics = benchmark["cases"][0]["metrics"]
    metrics["[/rate]\x1b[31m"] = {**metrics.pop("time"), "unit": "[/unit]"}
    benchmark["name"] = "[/name]"
    path.write_text(json.dumps(strange))
    assert main(["compare", str(path), str(path), "--all"]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert all(name in out for name in ("[/name]", "[/rate]", "[/unit]"))


def test_json(save: Save, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = save("a.json", 1.0), save("b.json", 1.5)
    assert main(["compare", a, b, "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["regressions"] == 1
    assert told["counts"]["worse"] == 1
    row = told["rows"][0]
    assert (row["before"], row["verdict"]) == (5.2, "worse")
    assert row["p"] == pytest.approx(1 / 252)
    zero = save("z.json", 0.0)
    assert main(["compare", zero, b, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["rows"][0]["change"] is None


def test_what_must_not_be_compared(save: Save, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = save("a.json", 1.0), save("b.json", 1.0, kind="emulator")
    assert main(["compare", a, b]) == 2
    assert "device kind: ane and emulator" in capsys.readouterr().err
    assert main(["compare", a, b, "--force"]) == 0
    assert "NOT THE SAME: device kind: ane and emulator" in capsys.readouterr().out


def test_files_that_cannot_be_read(
    save: Save, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, never 1, which means a regression."""
    a = save("a.json", 1.0)
    assert main(["compare", a, str(tmp_path / "none.json")]) == 2
    assert "none.json: No such file" in capsys.readouterr().err
    (tmp_path / "broken.json").write_text(Path(a).read_text()[:-30])
    assert main(["compare", str(tmp_path / "broken.json"), a]) == 2
    assert "broken.json:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "value"), [("5%", 0.05), ("0.05", 0.05), (" 12.5% ", 0.125), ("0", 0), ("200%", 2)]
)
def test_fractions(text: str, value: float) -> None:
    assert parse_fraction(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["5", "five", "", "-5%", "5%%", "nan", "1e9%"])
def test_no_fractions(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--threshold must be like 5% or 0\.05"):
        parse_fraction(text)
