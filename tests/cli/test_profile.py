"""pyane profile: a table, JSON, a trace."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import pyane
from mil_text import counting_loop, operation, program, tensor_type
from pyane.cli import main

KIND = tensor_type(np.float16, (1, 16, 1, 40))
BODY = [operation("exp", "w", KIND, {"x": "%v"})]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    lines = [
        operation("softmax", "p", KIND, {"x": "%x", "axis": 1}),
        operation("sqrt", "y", KIND, {"x": "%p"}),
    ]
    (tmp_path / "chain.mil").write_text(program({"x": KIND}, lines, ["y"]))
    (tmp_path / "loop.mil").write_text(counting_loop(3, (1, 16, 1, 40), BODY, "w"))
    return tmp_path


def out_of(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    assert main(["profile", *args]) == 0, capsys.readouterr()
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_table(capsys):
    out = out_of(capsys, "chain.mil", "--repeat", "2", "--threads", "1")
    for word in ("GFLOP/s", "of roof", "softmax", "sqrt", "-> p", "1 thread,"):
        assert word in out
    assert "ms per evaluation (median of 2)" in out
    assert "Measured roof: " in out


def test_threads_are_put_back(capsys):
    before = pyane.num_threads()
    out_of(capsys, "chain.mil", "--repeat", "1", "--threads", str(before + 1))
    assert pyane.num_threads() == before


def test_json(capsys):
    facts = json.loads(out_of(capsys, "loop.mil", "--json", "--repeat", "1"))
    names = [group["name"] for group in facts["groups"]]
    assert "while_loop -> turns" in names
    assert "exp -> w" in names
    assert facts["evaluations"] == 1
    assert {"device", "threads", "isa", "seconds", "roofs", "unaccounted_seconds"} <= set(facts)


def test_trace(capsys, here):
    out = out_of(capsys, "loop.mil", "-o", "trace.json", "--repeat", "1", "--in-order")
    assert "written to trace.json" in out
    trace = json.loads((here / "trace.json").read_text())
    names = [event["name"] for event in trace["traceEvents"] if event["ph"] == "X"]
    assert names.count("exp -> w") >= 3


def test_top(capsys):
    out = out_of(capsys, "loop.mil", "--top", "1", "--repeat", "1")
    assert "while_loop" in out
    assert "more groups take" in out
    assert "exp ->" not in out


def test_given_inputs(capsys, here):
    np.save(here / "x.npy", np.ones((1, 16, 1, 40), np.float16))
    out_of(capsys, "chain.mil", "--input", "x=x.npy", "--repeat", "1")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["missing.mil"], "missing.mil"),
        (["chain.mil", "-o", "nowhere/trace.json"], "in a folder that exists"),
        (["chain.mil", "--repeat", "0"], "--repeat"),
        (["chain.mil", "--input", "x=none.npy"], "none.npy"),
        (["chain.mil", "--function", "other"], "other"),
    ],
)
def test_refusals(capsys, args, message):
    assert main(["profile", *args]) in {1, 2}
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("pyane: error: ")
    assert message in err
