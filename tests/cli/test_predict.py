"""pyane predict."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pyane import chips
from pyane.cli import main
from pyane.llama import PRESETS
from pyane.perf import predict_program, predict_training, programs


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conv.mil").write_text(programs.conv(256, 32, 32, 3, depth=4))
    (tmp_path / "open.mil").write_text(
        programs.elementwise([2, 3], "relu").replace("[2, 3]", "[?, 3]")
    )
    return tmp_path


def says(capsys: pytest.CaptureFixture[str], *args: str, code: int = 0) -> str:
    assert main(["predict", *args]) == code, capsys.readouterr()
    out, err = capsys.readouterr()
    assert (err if code == 0 else out) == ""
    return out if code == 0 else err


def test_table_of_all_chips(capsys: pytest.CaptureFixture[str]) -> None:
    lines = says(capsys, "conv.mil").splitlines()
    products = [chip.product for chip in chips.all_chips()]
    assert [line[:11].rstrip(" ~") for line in lines[1 : len(products) + 1]] == products
    assert lines[0].split() == [
        "chip",
        "one",
        "evaluate",
        "range",
        "in",
        "a",
        "loop",
        "compile",
        "mostly",
    ]
    assert any("nothing was run" in line for line in lines)
    assert any(line.startswith("~~ hardly any") for line in lines)


def test_json_is_the_prediction(capsys: pytest.CaptureFixture[str]) -> None:
    out = json.loads(says(capsys, "conv.mil", "--chip", "M5 Pro,m1", "--json"))
    found = out["predictions"]
    assert [(p["chip"], p["what"]) for p in found] == [
        ("m5pro", "one evaluate"),
        ("m5pro", "evaluate in a loop"),
        ("m1", "one evaluate"),
        ("m1", "evaluate in a loop"),
    ]
    text = Path("conv.mil").read_text()
    expected = predict_program(text, "m5pro").to_dict() | {"refused_by": []}
    assert found[0] == json.loads(json.dumps(expected))
    assert found[0]["dominant"] == "arithmetic"


def test_explained(capsys: pytest.CaptureFixture[str]) -> None:
    out = says(capsys, "conv.mil", "--chip", "m1max", "--explain")
    assert out.startswith("M1 Max, one evaluate: ")
    assert "4.83 GFLOP at 12 TFLOP/s, 3x3 convolutions 1.6 times as fast" in out
    assert "4.72 MB at" in out
    assert " * weights" in out
    assert "Compressed weights would take less here: 4-bit palettes" in out
    assert "hidden by the rest" in out


def test_chips_that_refuse_the_program_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    """sin is there from M3 on."""
    Path("sin.mil").write_text(programs.elementwise([1, 64, 32, 32], "sin"))
    m1, m3 = says(capsys, "sin.mil", "--chip", "m1,m3").splitlines()[1:3]
    assert "refused, says pyane check (ANE" in m1
    assert "refused" not in m3
    out = json.loads(says(capsys, "sin.mil", "--chip", "m1,m3", "--json"))["predictions"]
    assert [bool(one["refused_by"]) for one in out] == [True, True, False, False]
    assert "Note: refused" in says(capsys, "sin.mil", "--chip", "m1", "--explain")


def test_training(capsys: pytest.CaptureFixture[str]) -> None:
    out = says(capsys, "--training", "stories110m", "--chip", "m4max,m3")
    step = 1e3 * predict_training("stories110m", "m4max").seconds
    assert f"M4 Max~~  {step:7.3g} ms" in out
    explained = says(capsys, "--training", "stories110m", "--chip", "m3", "--explain")
    assert "72 evaluations" in explained
    assert "Note: hardly a program was timed on an M3" in explained


def test_sizes_from_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    sizes = {**vars(PRESETS["stories15m"])}
    Path("tiny.json").write_text(json.dumps(sizes))
    table = says(capsys, "--training", "tiny.json", "--chip", "m2")
    assert table == says(capsys, "--training", "stories15m", "--chip", "m2")


def test_chips_with_commas_or_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    once = says(capsys, "conv.mil", "--chip", "m4max,M1 Pro")
    assert once == says(capsys, "conv.mil", "--chip", "m4max", "--chip", "m1-pro,m4max")
    assert once == says(capsys, "conv.mil", "--chip", "m4max,m1pro,")
    assert says(capsys, "conv.mil") == says(capsys, "conv.mil", "--chip", "all")


def test_options_of_training(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--pipeline", "dynamic", "--batch-size", "2", "--seq-len", "64", "--cls", "ane"]
    out = says(
        capsys,
        "--training",
        "stories15m",
        "--chip",
        "m2",
        *options,
        "--accumulation",
        "4",
        "--json",
    )
    expected = predict_training(
        "stories15m", "m2", pipeline="dynamic", cls="ane", batch=2, positions=64, accumulation=4
    )
    (found,) = json.loads(out)["predictions"]
    assert found == json.loads(json.dumps(expected.to_dict() | {"refused_by": []}))


def test_open_shapes_are_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--shape x=..." in says(capsys, "open.mil", code=1)
    assert "M1 Max" in says(capsys, "open.mil", "--shape", "x=5,3")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "predict takes a MODEL or --training PRESET, got neither"),
        (["conv.mil", "--training", "stories110m"], "not both"),
        (["conv.mil", "--chip", "m99"], "m99"),
        (["--training", "stories111m"], "no preset 'stories111m'; presets are stories260k"),
        (["--training", "nope.json"], "--training nope.json: cannot be read (No such file"),
        (["--training", "stories110m", "--pipeline", "fast"], "got 'fast'"),
        (["--training", "stories110m", "--batch-size", "0"], "--batch-size"),
        (["conv.mil", "--pipeline", "dynamic"], "--pipeline is of --training"),
        (["--training", "stories110m", "--shape", "x=1"], "--shape is of a MODEL"),
    ],
)
def test_wrong_use(capsys: pytest.CaptureFixture[str], args: list[str], message: str) -> None:
    assert message in says(capsys, *args, code=2)


def test_no_such_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert "nothing.mil" in says(capsys, "nothing.mil", code=1)
