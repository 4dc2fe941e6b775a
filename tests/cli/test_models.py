"""pyane show, run, check and chips on small models."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyane
from mil_text import operation, program, tensor_type
from pyane import mil
from pyane.cli import main

X = tensor_type("float16", [2, 3])
# No engine has `acosh`: ANE001.
WRONG = program(
    {"x": X},
    [operation("acosh", "t", X, {"x": "%x"}), operation("relu", "y", X, {"x": "%t"})],
    ["y"],
)
ADD = program(
    {"a": X, "b": X},
    [
        operation("add", "sum", X, {"x": "%a", "y": "%b"}),
        operation("sub", "file", X, {"x": "%a", "y": "%b"}),
    ],
    ["sum", "file"],
)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wrong.mil").write_text(WRONG)
    (tmp_path / "add.mil").write_text(ADD)
    return tmp_path


def says(capsys: pytest.CaptureFixture[str], *args: str, code: int = 0) -> str:
    assert main(list(args)) == code, capsys.readouterr()
    out, err = capsys.readouterr()
    if code == 0:
        assert err == ""
    return out if code in {0, 1} and out else err


# -- show


def test_show(capsys: pytest.CaptureFixture[str]) -> None:
    out = says(capsys, "show", "add.mil")
    assert "MIL 1.3, function main<ios18>" in out
    assert "input   a: fp16[2, 3]\n  input   b: fp16[2, 3]\n  output  sum: fp16[2, 3]" in out
    assert "Operations: 2, and 0 constants\n  add 1, sub 1" in out
    assert "Weights: none in files" in out
    assert "Arithmetic: 12 FLOP for one evaluation" in out
    assert re.search(r"elementwise_binary +2 operations +12 FLOP +100\.0 %", out)
    assert "inputs 24 bytes, outputs 24 bytes, states 0 bytes" in out


def test_show_as_json_and_mil(capsys: pytest.CaptureFixture[str]) -> None:
    facts = json.loads(says(capsys, "show", "add.mil", "--format", "json"))
    assert facts["flops"] == 12
    assert facts["weight_bytes"] == 0
    assert facts["tensors"][0] == {
        "name": "a",
        "dtype": "fp16",
        "shape": [2, 3],
        "kind": "input",
        "flexible": "",
    }
    assert says(capsys, "show", "add.mil", "--format", "mil").strip() == ADD.strip()


def test_show_of_what_does_not_verify(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    (here / "bad.mil").write_text(ADD.replace("= add(", "= frobnicate("))
    out = says(capsys, "show", "bad.mil")
    assert "Does not verify: bad.mil:5:9: frobnicate 'sum'" in out
    assert "Not evaluated by the emulator: frobnicate" in out
    assert "Arithmetic" not in out


def test_show_of_weights(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    data, _ = mil.pack_blobs([np.zeros(3, np.float16)])
    blob = 'tensor<fp16, [3]>(BLOBFILE(path = string("@model_path/w.bin"), offset = uint64(64)))'
    lines = [
        f"tensor<fp16, [3]> w = const()[val = {blob}];",
        operation("add", "y", X, {"x": "%x", "y": "%w"}),
    ]
    (here / "w.mil").write_text(program({"x": X}, lines, ["y"]))
    assert "not found: @model_path/w.bin" in says(capsys, "show", "w.mil")
    err = says(capsys, "run", "w.mil", "--random-inputs", "--device", "emulator", code=1)
    assert "w.bin' must be given" in err
    assert "--weights FILE" in err
    (here / "other.bin").write_bytes(data.tobytes())
    for weights in ("other.bin", "@model_path/w.bin=other.bin"):
        says(
            capsys, "run", "w.mil", "--random-inputs", "--device", "emulator", "--weights", weights
        )
    (here / "w.bin").symlink_to(here / "other.bin")
    out = says(capsys, "show", "w.mil")
    assert "Weights: 6 bytes\n  fp16            1 tensor  6 bytes" in out


# -- run


def run(capsys: pytest.CaptureFixture[str], *args: str, code: int = 0) -> str:
    return says(capsys, "run", *args, "--device", "emulator", code=code)


def test_run(capsys: pytest.CaptureFixture[str]) -> None:
    a = np.arange(6, dtype=np.float16).reshape(2, 3)
    np.save("a.npy", a)
    np.savez("b.npz", b=np.full((2, 3), 2.0))
    out = run(capsys, "add.mil", "--input", "a=a.npy", "--input", "b.npz", "--output", "out.npz")
    assert "sum: float16[2, 3]  min 2  max 7  mean 4.5  std 1.70783" in out
    with np.load("out.npz") as results:
        assert results.files == ["sum", "file"]
        np.testing.assert_array_equal(results["sum"], a + 2)
        np.testing.assert_array_equal(results["file"], a - 2)


def test_run_with_random_inputs(capsys: pytest.CaptureFixture[str]) -> None:
    np.save("a.npy", np.zeros((2, 3), np.float16))
    first = {}
    for seed in ("1", "1", "2"):
        run(capsys, "add.mil", "--random-inputs", "--seed", seed, "--input", "a.npy=", code=2)
        run(capsys, "add.mil", "--random-inputs", "--seed", seed, "--output", f"{seed}.npz")
        with np.load(f"{seed}.npz") as results:
            assert seed not in first or np.array_equal(first[seed], results["sum"])
            first[seed] = results["sum"]
    assert not np.array_equal(first["1"], first["2"])
    run(capsys, "add.mil", "--random-inputs", "--input", "a=a.npy", "--output", "z.npz")
    with np.load("z.npz") as results:
        np.testing.assert_array_equal(results["sum"], -results["file"])
        assert np.abs(results["sum"]).max() > 0
    report = json.loads(
        run(capsys, "add.mil", "--random-inputs", "--repeat", "3", "--format", "json")
    )
    assert report["device"] == "emulator"
    assert report["outputs"]["sum"]["shape"] == [2, 3]
    assert report["outputs"]["sum"]["n_nan"] == 0


def test_run_counts_what_is_not_finite(capsys: pytest.CaptureFixture[str]) -> None:
    values = np.array([[np.inf, 1, 2], [np.nan, 3, 4]], np.float16)
    np.savez("in.npz", a=values, b=np.zeros((2, 3), np.float16))
    out = run(capsys, "add.mil", "--input", "in.npz")
    assert "min 1  max 4" in out
    assert "1 NaN  1 infinite" in out


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (
            ["add.mil"],
            1,
            "needs input 'a', 'b'; give it with --input NAME=FILE.npy, or --random-inputs",
        ),
        (["add.mil", "--input", "x.npy"], 1, "x.npy"),
        (
            ["add.mil", "--input", "text.npy"],
            1,
            "text.npy: must be a NumPy file .* no header of one",
        ),
        (
            ["add.mil", "--input", "pickle.npy"],
            1,
            "pickle.npy: must be a NumPy file .* Python objects$",
        ),
        (["add.mil", "--input", "a.npy"], 2, "must be NAME=FILE.npy, as the inputs are a, b"),
        (["add.mil", "--input", "a=b.npz"], 2, "give it without a name"),
        (["add.mil", "--input", "b.npz", "--input", "b=a.npy"], 2, "'b' is given twice"),
        (["add.mil", "--input", "="], 2, "--input must be NAME=FILE.npy"),
        (["add.mil", "--random-inputs", "--input", "z=a.npy"], 1, "has no input 'z'"),
        (["add.mil", "--random-inputs", "--output", "x.npy"], 2, "--output must end in .npz"),
        (["add.mil", "--random-inputs", "--output", "no/x.npz"], 2, "in a folder that exists"),
        (["add.mil", "--shape", "a"], 2, "--shape must be NAME=1,3,224,224, got 'a'"),
        (["add.mil", "--shape", "a=1,b"], 2, "got 'a=1,b'"),
        (["add.mil", "--shape", "a=1,2"], 1, r"'a' must fit \[2, 3\]"),
        (["add.mil", "--function", "other"], 2, "function must be one of main, got 'other'"),
        (["add.mil", "--weights", "w"], 2, "it names no weight files"),
        (["add.mil", "--format", "xml"], 2, "--format must be one of text, json, got 'xml'"),
        (["none.mil"], 1, "none.mil: model does not exist"),
        (["add.txt"], 1, "must end in .mil"),
    ],
)
def test_wrong_use_of_run(
    capsys: pytest.CaptureFixture[str], here: Path, args: list[str], code: int, message: str
) -> None:
    np.save("a.npy", np.zeros((2, 3), np.float16))
    np.savez("b.npz", b=np.zeros((2, 3), np.float16))
    (here / "text.npy").write_text("hello")
    np.save("pickle.npy", np.array([{}], dtype=object), allow_pickle=True)
    (here / "add.txt").write_text(ADD)
    err = run(capsys, *args, code=code)
    assert err.startswith("pyane: error: ")
    assert re.search(message, err)


def test_text_on_standard_input(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import io  # noqa: PLC0415

    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(ADD.encode())))
    assert "<stdin>\nMIL 1.3" in says(capsys, "show", "-")


# -- check


def check(capsys: pytest.CaptureFixture[str], *args: str, code: int) -> str:
    return says(capsys, "check", *args, code=code)


def findings(chip: str = "m1") -> list[pyane.Diagnostic]:
    found = pyane.check(WRONG, chip=chip)
    assert found, "acosh is fine now: take another operation"
    return found


def test_check(capsys: pytest.CaptureFixture[str]) -> None:
    first = findings()[0]
    out = says_any(capsys, "check", "wrong.mil")
    head, source, caret = out.splitlines()[:3]
    assert head.startswith(f"wrong.mil:{first.line}:{first.column}: m1: {first.severity}")
    assert f"[{first.rule} {first.name}]" in head
    # The caret stands under the place, whatever the indentation.
    line = WRONG.splitlines()[first.line - 1]
    assert source.strip() == line.strip()
    at = caret.index("^") - 4
    assert source[4:][at:] == line[first.column - 1 :]
    assert "why:" in out
    assert "instead:" in out
    assert "evidence:" in out
    assert out.splitlines()[-1].endswith("on m1")


def says_any(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    main(list(args))
    return capsys.readouterr().out


def test_check_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "wrong.mil"]) == 1
    assert main(["check", "wrong.mil", "--chip", "all", "--fail-on", "never"]) == 0
    assert (
        main(["check", "wrong.mil", "--chip", "all", "--fail-on", "advice", "--fail-on-contested"])
        == 1
    )
    capsys.readouterr()
    rules = sorted({d.rule for d in findings("all")})
    ignored = [part for rule in rules for part in ("--ignore", rule)]
    out = check(capsys, "wrong.mil", "--chip", "all", "--fail-on", "advice", *ignored, code=0)
    assert "nothing found on m1, m1pro" in out
    assert main(["check", "wrong.mil", "--fail-on", "bad"]) == 2
    assert "refused-at-compile, refused-at-evaluate" in capsys.readouterr().err
    assert main(["check", "wrong.mil", "--chip", "m99"]) == 2
    assert main(["check", "wrong.mil", "--ignore", "ANE999"]) == 2
    capsys.readouterr()


def test_selected_rules(capsys: pytest.CaptureFixture[str]) -> None:
    first = findings()[0]
    args = ("check", "wrong.mil", "--format", "json", "--select", first.name)
    (report,) = json.loads(says_any(capsys, *args))
    assert {finding["rule"] for finding in report["findings"]} == {first.rule}
    assert report["findings"][0]["message"] == first.message
    assert report["failure"] is None


@pytest.mark.parametrize("output_format", ["text", "json", "sarif", "github"])
def test_what_does_not_parse_is_a_finding(
    capsys: pytest.CaptureFixture[str], here: Path, output_format: str
) -> None:
    (here / "bad.mil").write_text("program(1.3)\n{ funk }")
    out = check(capsys, "add.mil", "bad.mil", "--format", output_format, code=1)
    assert "expected 'func'" in out
    if output_format == "github":
        assert "::error file=bad.mil,line=2,col=3,title=MilSyntaxError::bad.mil:2:3" in out
        assert "%0A" in out
    if output_format == "sarif":
        (result,) = [
            r for r in json.loads(out)["runs"][0]["results"] if r["ruleId"] == "MilSyntaxError"
        ]
        region = result["locations"][0]["physicalLocation"]["region"]
        assert region == {"startLine": 2, "startColumn": 3}


def test_sarif(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    (here / "a b.mil").write_text(WRONG)
    log = json.loads(says_any(capsys, "check", "a b.mil", "--chip", "all", "--format", "sarif"))
    assert_sarif(log)
    (run_,) = log["runs"]
    found = findings("all")
    assert len(run_["results"]) == len(found)
    result = run_["results"][0]
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "a%20b.mil"
    assert place["region"]["startLine"] == found[0].line
    rule = run_["tool"]["driver"]["rules"][result["ruleIndex"]]
    assert rule["id"] == result["ruleId"]


def assert_sarif(log: dict[str, Any]) -> None:
    """What the schema of SARIF 2.1.0 requires of the parts that are there."""
    assert set(log) == {"$schema", "version", "runs"}
    assert log["version"] == "2.1.0"
    for part in log["runs"]:
        assert part["columnKind"] in {"utf16CodeUnits", "unicodeCodePoints"}
        driver = part["tool"]["driver"]
        assert driver["name"]
        assert re.fullmatch(r"\d+\.\d+\.\d+.*", driver["semanticVersion"])
        ids = [rule["id"] for rule in driver["rules"]]
        assert len(ids) == len(set(ids))
        for rule in driver["rules"]:
            assert rule["shortDescription"]["text"]
            level = rule["defaultConfiguration"]["level"]
            assert level in {"none", "note", "warning", "error"}
        for result in part["results"]:
            assert result["message"]["text"]
            assert result["level"] in {"none", "note", "warning", "error"}
            assert 0 <= result["ruleIndex"] < len(ids)
            assert ids[result["ruleIndex"]] == result["ruleId"]
            for location in result["locations"]:
                physical = location["physicalLocation"]
                assert " " not in physical["artifactLocation"]["uri"]
                if "region" in physical:
                    assert physical["region"]["startLine"] >= 1
                    assert physical["region"]["startColumn"] >= 1


def test_github(capsys: pytest.CaptureFixture[str]) -> None:
    out = says_any(capsys, "check", "wrong.mil", "--format", "github")
    first = findings()[0]
    for line in out.splitlines():
        assert re.fullmatch(
            r"::(error|warning|notice) file=wrong\.mil,line=\d+,col=\d+,"
            r"title=[^:,]+::m1%?.*",
            line,
        )
    assert f"title={first.rule} {first.name}" in out


@pytest.mark.parametrize("output_format", ["text", "json", "sarif", "github"])
def test_a_broken_model_does_not_hide_the_findings_in_others(
    capsys: pytest.CaptureFixture[str], here: Path, output_format: str
) -> None:
    (here / "broken.mlmodel").write_bytes(b"\xff\xff\xff")
    names = ("broken.mlmodel", "none.mil", "wrong.mil")
    out = check(capsys, *names, "--format", output_format, "--fail-on", "never", code=1)
    assert findings()[0].rule in out
    assert "broken.mlmodel: " in out
    assert "none.mil: model does not exist" in out
    if output_format == "sarif":
        (log,) = json.loads(out)["runs"]
        known = [rule["id"] for rule in log["tool"]["driver"]["rules"]]
        assert [result["ruleId"] for result in log["results"]][:2] == ["ModelError", "ModelError"]
        assert all(known[result["ruleIndex"]] == result["ruleId"] for result in log["results"])


def test_settings_in_pyproject(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    rules = sorted({d.rule for d in findings("all")})
    (here / "inner").mkdir()
    (here / "pyproject.toml").write_text(
        f'[tool.pyane.check]\nchip = ["m4", "M1 Max"]\nignore = {json.dumps(rules)}\n'
    )
    assert "nothing found on m4, m1max" in check(capsys, "wrong.mil", code=0)
    assert "nothing found on m2" in check(capsys, "wrong.mil", "--chip", "m2", code=0)
    # Only on one chip.
    (here / "pyproject.toml").write_text(
        "[tool.pyane.check]\nfail-on = 'never'\n"
        f"[tool.pyane.check.chips.m1]\nignore = {json.dumps(rules)}\n"
    )
    args = ("wrong.mil", "--chip", "m1", "--chip", "m1max", "--format", "json")
    (report,) = json.loads(check(capsys, *args, code=0))
    assert {finding["chip"] for finding in report["findings"]} == {"m1max"}
    # Another file, and none at all.
    (here / "other.toml").write_text("[tool.other]\n")
    (report,) = json.loads(
        check(capsys, *args, "--config", "other.toml", "--fail-on", "never", code=0)
    )
    assert {finding["chip"] for finding in report["findings"]} == {"m1", "m1max"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tool", "pyproject.toml: .tool.pyane.check. must be TOML"),
        ("[tool.pyane.check]\nignor = []", "must be chip, chips, .*, got 'ignor'"),
        ("[tool.pyane.check]\nignore = 3", "ignore must be a list of names, got 3"),
        ("[tool.pyane.check]\nignore = ['ANE999']", r"pyproject.toml: .* ignore must .* 'ANE999'"),
        ("[tool.pyane.check]\nselect = ['ANE999']", r"pyproject.toml: .* select must .* 'ANE999'"),
        ("[tool.pyane.check]\nchip = ['m99']", "pyproject.toml: .*'m99'"),
        ("[tool.pyane.check]\nfail-on = 3", "fail-on must be one of refused-at-compile, .*, got 3"),
        ("[tool.pyane.check]\nfail-on = 'bad'", "pyproject.toml: .*fail-on must .* got 'bad'"),
        ("[tool.pyane.check]\nchips = 3", "chips must be a table"),
        ("[tool.pyane.check.chips.m1]\nselect = []", "chips.m1 may only hold ignore"),
        ("[tool.pyane.check.chips.m99]\nignore = []", "pyproject.toml: .*'m99'"),
        ("[tool.pyane.check.chips.m1]\nignore = ['x']", r"chips\.m1\.ignore must name rules"),
        ("[tool.pyane]\ncheck = 3", "must be a table"),
    ],
)
def test_wrong_settings(
    capsys: pytest.CaptureFixture[str], here: Path, text: str, message: str
) -> None:
    (here / "pyproject.toml").write_text(text)
    assert re.search(message, check(capsys, "add.mil", code=2))


# -- chips


def test_chips(capsys: pytest.CaptureFixture[str]) -> None:
    from pyane.chips import all_chips  # noqa: PLC0415

    out = says(capsys, "chips")
    for chip in all_chips():
        assert re.search(rf"^{chip.name} +{chip.product} ", out, re.MULTILINE)
    facts = json.loads(says(capsys, "chips", "--format", "json"))
    assert [entry["name"] for entry in facts] == [chip.name for chip in all_chips()]
    assert set(facts[0]["limits"]["max_width"]) == {"value", "status", "source", "measured_on"}
    assert "max_width" in says(capsys, "chips", "m1")
    assert "m99" in says(capsys, "chips", "m99", code=2)


# -- real programs


def test_every_real_program_is_shown_and_checked(
    capsys: pytest.CaptureFixture[str], shared_data: Path
) -> None:
    paths = sorted((shared_data / "mil").glob("*.mil"))
    assert paths
    for path in paths:
        facts = json.loads(says(capsys, "show", str(path), "--format", "json"))
        assert facts["fault"] == "", path.name
        assert facts["op_counts"]
        says(capsys, "check", str(path), "--chip", "all", "--fail-on", "never")


def test_a_long_line_is_shown_around_the_place(capsys: pytest.CaptureFixture[str]) -> None:
    line = operation("acosh", "t", X, {"x": "%x"})
    padding = " " * 3000
    Path("long.mil").write_text(
        WRONG.replace(f"        {line}", f"{padding}{line}{padding}relu"[:-4])
    )
    out = says_any(capsys, "check", "long.mil", "--select", "ANE001")
    _, source, caret = out.splitlines()[:3]
    assert source.startswith("    ...")
    assert source.endswith("...")
    assert source[caret.index("^") :].startswith(line[:40])


def test_run_with_states(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [
        operation("read_state", "old", X, {"input": "%kv"}),
        operation("add", "sum", X, {"x": "%old", "y": "%x"}),
        "write_state(input = kv, data = sum);",
        operation("mul", "y", X, {"x": "%sum", "y": np.float16(2)}),
    ]
    Path("state.mil").write_text(program({"x": X, "kv": f"state<{X}>"}, lines, ["y"]))
    np.savez("in.npz", x=np.ones((2, 3), np.float16), kv=np.full((2, 3), 10, np.float16))
    out = run(capsys, "state.mil", "--input", "in.npz", "--repeat", "3")
    assert "y: float16[2, 3]  min 26  max 26" in out
    assert "state kv: float16[2, 3]  min 13  max 13" in out
    np.savez("in.npz", x=np.ones((2, 3), np.float16), kv=np.zeros(3, np.float16))
    err = run(capsys, "state.mil", "--input", "in.npz", code=2)
    assert "--input kv: state must have shape [2, 3], got [3]" in err


WITH_WEIGHTS = {
    "FluidInference__mobius__silero__unified_int8": "silero_unified_int8",
    "FluidInference__mobius__silero__unified_palette_4bit": "silero_unified_palette_4bit",
    "sbryngelson__ANEForge-0.4.0__gen_linear_sparse": "aneforge_linear_sparse",
    "sbryngelson__ANEForge-0.4.0__gen_mlp_int4lut": "aneforge_mlp_int4lut",
}


@pytest.mark.parametrize("name", WITH_WEIGHTS)
def test_real_programs_run_with_their_weights(
    capsys: pytest.CaptureFixture[str], shared_data: Path, name: str
) -> None:
    folder = shared_data / "mil"
    args = ["run", str(folder / f"{name}.mil"), "--device", "emulator", "--random-inputs"]
    args += ["--weights", str(folder / f"{WITH_WEIGHTS[name]}.bin"), "--format", "json"]
    assert main(args) == 0
    out, err = capsys.readouterr()
    for facts in json.loads(out)["outputs"].values():
        assert facts["n_nan"] == facts["n_inf"] == 0
        assert facts["min"] != 0
    # ANEForge packs records without padding between them.
    warned = "offset must be a multiple of 64" in err
    assert warned == ("int4lut" in name)
    assert all(line.startswith("pyane: warning: @model_path") for line in err.splitlines())


def test_summary_counts_each_finding_once_and_worst_first(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from pyane.check import SEVERITIES  # noqa: PLC0415
    from pyane.cli.check_report import LEVELS  # noqa: PLC0415

    assert tuple(LEVELS) == SEVERITIES
    one = says_any(capsys, "check", "wrong.mil", "--select", "ANE001").splitlines()
    several = says_any(
        capsys, "check", "wrong.mil", "--select", "ANE001", "--chip", "m1", "--chip", "m4"
    ).splitlines()
    assert one[-1] == "wrong.mil: 1 refused at compile on m1"
    assert several[-1] == "wrong.mil: 1 refused at compile on m1, m4"
    assert ": m1, m4: refused-at-compile: " in several[0]
