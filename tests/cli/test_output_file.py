"""Outputs of `pyane profile` and `pyane run`: never a file that is read, and refused beforehand."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from mil_text import operation, program, tensor_type
from pyane import mil
from pyane.cli import main

KIND = tensor_type("float16", (1, 2))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program of text, one with weights beside it, and one as a compiled model."""
    monkeypatch.chdir(tmp_path)
    text = program({"x": KIND}, [operation("exp", "y", KIND, {"x": "%x"})], ["y"])
    Path("plain.mil").write_text(text)

    @mil.program(x=mil.fp16[1, 64, 1, 8])
    def weighted(x: mil.Var) -> mil.Var:
        return mil.conv(x=x, weight=np.ones((64, 64, 1, 1), np.float16), name="y")

    (name,) = weighted.weight_paths
    relative = name.removeprefix("@model_path/")
    for folder, file in (("here", "model.mil"), ("model.mlmodelc", "model.mil")):
        place = tmp_path / folder / relative
        place.parent.mkdir(parents=True)
        place.write_bytes(bytes(weighted.weights[name]))
        (tmp_path / folder / file).write_text(str(weighted))
    Path("w.bin").write_bytes(bytes(weighted.weights[name]))
    Path("inside").symlink_to(tmp_path / "here" / relative)
    np.save("x.npy", np.ones((1, 2), np.float16))
    np.savez("x.npz", x=np.ones((1, 2), np.float16))
    Path("copy.mil").symlink_to("plain.mil")
    os.link("plain.mil", "hard.json")
    os.link("model.mlmodelc/model.mil", "outside.json")
    return tmp_path


def contents(folder: Path) -> dict[str, str]:
    files = (p for p in folder.rglob("*") if p.is_file())
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.mark.parametrize(
    "args",
    [
        ["profile", "plain.mil", "-o", "plain.mil"],
        ["profile", "plain.mil", "-o", "./here/../plain.mil"],
        ["profile", "plain.mil", "-o", "copy.mil"],
        ["profile", "copy.mil", "-o", "plain.mil"],
        ["profile", "plain.mil", "-o", "hard.json"],
        ["profile", "plain.mil", "-o", "x.npy", "--input", "x=x.npy"],
        ["profile", "here/model.mil", "--weights", "w.bin", "-o", "w.bin"],
        ["profile", "here/model.mil", "-o", "inside"],
        ["profile", "model.mlmodelc", "-o", "model.mlmodelc/model.mil"],
        ["profile", "model.mlmodelc", "-o", "model.mlmodelc/new.json"],
        ["profile", "model.mlmodelc", "-o", "outside.json"],
        ["run", "plain.mil", "--input", "x.npz", "--output", "x.npz"],
    ],
    ids=" ".join,
)
def test_what_is_read_is_not_written(here, capsys, args):
    before = contents(here)
    assert main(args) == 2
    assert contents(here) == before
    out, err = capsys.readouterr()
    assert out == ""
    given = args[args.index("-o" if "-o" in args else "--output") + 1]
    assert err.startswith(f"pyane: error: --output {Path(given)}: must not ")


def test_other_files_are_written(here):
    Path("old.json").write_text("old")
    options = ["--repeat", "1", "--threads", "1"]
    assert main(["profile", "plain.mil", "-o", "old.json", *options]) == 0
    assert "traceEvents" in Path("old.json").read_text()
    assert main(["profile", "here/model.mil", "-o", "here/new.json", *options]) == 0
    assert (
        main(["profile", "here/model.mil", "--weights", "w.bin", "-o", os.devnull, *options]) == 0
    )
    assert not list(here.rglob(".*.tmp"))


@pytest.mark.parametrize(
    ("output", "why"),
    [
        ("here", "must be a file"),
        ("nowhere/x.json", "in a folder that exists"),
        pytest.param(
            "/proc/x.json",
            "No such file",
            marks=pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc"),
        ),
    ],
)
def test_what_cannot_be_written_is_known_before(capsys, monkeypatch, output, why):
    monkeypatch.setattr("pyane.profile.profile", lambda *_, **__: pytest.fail("measured"))
    assert main(["profile", "plain.mil", "-o", output]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"pyane: error: --output {output}: ")
    assert why in err
    assert ".tmp" not in err


def test_a_device_that_is_full(capsys, full_device):
    assert main(["profile", "plain.mil", "-o", full_device, "--repeat", "1"]) == 1
    assert "No space left on device: '/dev/full'" in capsys.readouterr().err


@pytest.mark.parametrize("threads", ["0", "1025", "99999999999999999999"])
@pytest.mark.parametrize(
    "command", [["profile", "plain.mil"], ["generate", "missing"], ["train", "--run-dir", "new"]]
)
def test_threads_out_of_range(capsys, command, threads):
    assert main([*command, "--threads", threads]) == 2
    err = capsys.readouterr().err
    assert "--threads" in err
    assert "internal" not in err
    assert ("1024" if threads != "0" else " 1") in err
