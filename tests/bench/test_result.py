from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pyane.bench import result as results
from pyane.bench.result import Metric, from_dict, load, schema, validate
from pyane.errors import ConfigError


def metric(*samples: float, unit: str = "ms", better: str = "lower") -> dict[str, Any]:
    """A metric worked out by hand, for short lists only."""
    ordered = sorted(samples)
    n = len(ordered)
    median = ordered[n // 2] if n % 2 else (ordered[n // 2 - 1] + ordered[n // 2]) / 2
    position = 0.95 * (n - 1)
    low = int(position)
    high = min(low + 1, n - 1)
    p95 = ordered[low] + (position - low) * (ordered[high] - ordered[low])
    fields = {"median": median, "min": ordered[0], "p95": p95, "runs": n}
    return {"unit": unit, "better": better, "samples": list(samples), **fields}


DOCUMENT: dict[str, Any] = {
    "schema": "pyane-benchmark-result",
    "version": 1,
    "created": "2026-11-22T14:00:00Z",
    "pyane": {"version": "0.1.0", "commit": None},
    "device": {
        "kind": "ane",
        "chip": "m4pro",
        "product": "M4 Pro",
        "numerics": "engine",
        "strict": False,
    },
    "host": {
        "os": "macOS",
        "os_version": "26.1",
        "cpu": "Apple M4 Pro",
        "cores": 12,
        "threads": 12,
        "memory_gb": 24,
        "isa": "neon",
        "python": "3.12.1",
        "numpy": "2.4.6",
    },
    "settings": {"quick": True, "seed": 1},
    "contributor": "@some-one",
    "notes": None,
    "benchmarks": [
        {
            "name": "peak",
            "cases": [
                {
                    "name": "128x512_sp64",
                    "parameters": {"depth": 128, "channels": 512, "spatial": 64},
                    "status": "ok",
                    "reason": None,
                    "metrics": {"time": metric(3.0, 1.0, 2.0, 10.0)},
                },
                {
                    "name": "64x384_sp64",
                    "parameters": {},
                    "status": "refused",
                    "reason": "ANECCompile() FAILED",
                    "metrics": {},
                },
            ],
        }
    ],
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The document with another value at "device.kind" or "benchmarks.0.name"; ... deletes."""
    document = copy.deepcopy(DOCUMENT)
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    node: Any = document
    for part in parents:
        node = node[part]
    if value is ...:
        del node[last]
    else:
        node[last] = value
    return document


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


def test_most_samples_as_the_schema_says() -> None:
    assert schema()["$defs"]["metric"]["properties"]["samples"]["maxItems"] == results.MAX_SAMPLES


def test_statistics_are_those_of_the_samples() -> None:
    figure = Metric("ms", "lower", (3.0, 1.0, 2.0, 10.0))
    assert (figure.median, figure.min, figure.runs) == (2.5, 1.0, 4)
    assert figure.p95 == pytest.approx(3 + 0.85 * 7)
    assert figure.best == 1.0
    assert Metric("GB/s", "higher", (3.0, 1.0)).best == 3.0


def test_round_trip(tmp_path: Path) -> None:
    first = from_dict(DOCUMENT)
    path = tmp_path / "result.json"
    first.save(path)
    assert load(path) == first
    assert from_dict(json.loads(path.read_text())) == first
    # Each list of samples is one line; the rest is for people.
    assert '"samples": [3.0, 1.0, 2.0, 10.0]' in path.read_text()
    assert first.device.is_engine
    assert str(first.device) == "ANE, M4 Pro"


def test_a_sample_marker_in_a_text_stays_a_text() -> None:
    document = changed("notes", "\0" + "0 and \\u00000")
    assert json.loads(results.dumps(document)) == document


def test_the_emulator_is_marked_as_such() -> None:
    document = changed("device", {**DOCUMENT["device"], "kind": "emulator", "numerics": "ieee"})
    assert str(from_dict(document).device).startswith("emulator (CPU; not an ANE)")


WRONG: list[tuple[str, Any, str]] = [
    ("schema", "somebody-elses", "must be a benchmark result"),
    ("version", 2, "version must be 1, got 2"),
    ("version", True, "version must be 1, got True"),
    ("created", "yesterday", r"created: 'yesterday' does not match"),
    ("created", ..., "the file: 'created' is a required property"),
    ("device.kind", "gpu", r"device.kind: 'gpu' is not one of"),
    ("device.numerics", "ieee", r"device.numerics: 'engine' was expected"),
    ("device.strict", True, r"device.strict: False was expected"),
    ("device.kind", "emulator", r"device.numerics: 'engine' is not one of"),
    ("host.user", "somebody", "host: Additional properties are not allowed .'user'"),
    ("host.cores", 0, "host.cores: 0 is less than the minimum of 1"),
    ("settings.quick", ..., "settings: 'quick' is a required property"),
    ("settings.nested", {"a": 1}, "settings.nested: "),
    ("contributor", "Some One <a@b.c>", "contributor: "),
    ("benchmarks.0.cases.0.status", "great", r"benchmarks\[0\].cases\[0\].status: 'great'"),
    ("benchmarks.0.cases.0.reason", "why", r"benchmarks\[0\].cases\[0\].reason: 'why' is not"),
    ("benchmarks.0.cases.0.metrics", {}, r"cases\[0\].metrics: \{\} "),
    ("benchmarks.0.cases.1.reason", None, r"cases\[1\].reason: None is not of type 'string'"),
    ("benchmarks.0.cases.0.metrics.time.samples", [], r"time.samples: \[\] "),
    ("benchmarks.0.cases.0.metrics.time.median", 2.0, r"median must be 2.5, that of the samples"),
    ("benchmarks.0.cases.0.metrics.time.p95", 3.0, r"p95 must be 8.95.* got 3.0"),
    ("benchmarks.0.cases.0.metrics.time.min", 0.5, r"min must be 1.* got 0.5"),
    ("benchmarks.0.cases.0.metrics.time.runs", 5, r"runs must be 4.* got 5"),
    ("benchmarks.0.cases.0.metrics.time.samples", [float("nan")], r"samples must be finite"),
    ("benchmarks.0.cases.0.metrics.time.samples", [3.0, -1.0], r"not negative, got -1"),
    ("benchmarks.0.cases.0.metrics.time.samples", [1.7e308] * 4, r"finite .* got 1.7e\+308"),
    ("notes", "\ud800x", r"texts must be Unicode, got '\\ud800' in '\\ud800x'"),
    ("benchmarks.0.cases.0.metrics.time.samples", [3.0, "x", True], r"samples\[1\]: 'x' is not"),
    ("benchmarks.0.cases.0.metrics.time.samples", [3.0, True], r"samples\[1\]: True is not"),
    ("benchmarks.0.cases.0.metrics.time.samples", 3.0, r"samples: 3.0 is not of type 'array'"),
    ("benchmarks.0.cases.0.metrics.time.samples", [1] * 100_001, r"samples: .* is too long"),
    ("benchmarks.0.cases.1.name", "128x512_sp64", r"names must differ, got '128x512_sp64' twice"),
]


@pytest.mark.parametrize(("path", "value", "message"), WRONG)
def test_faults_name_file_place_and_value(path: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        validate(changed(path, value), "r.json")
    assert str(caught.value).startswith("r.json: ")


FOREIGN: list[tuple[bytes, str]] = [
    (b"", r"r.json:1:1: no JSON"),
    (b'{"schema": ', r"r.json:1:12: no JSON"),
    (b"[1, 2]", "must be a benchmark result .* got a list"),
    (b'{"chip": "M4", "tflops": 12.5}', "got an object with keys 'chip', 'tflops'"),
    (b"{}", "got an object with no keys"),
    (b"\x80\x04\x95", "must be JSON in UTF-8, got byte 0x80 at offset 0"),
    (b"[" * 200_000, "nested too deeply|no JSON"),
    (b'{"schema": NaN}', "numbers must be finite, got NaN"),
    (b'{"schema": 1e999}', "numbers must be finite, got 1e999"),
    (b'{"schema": -1' + b"0" * 400 + b"}", r"numbers must be finite, got -10+ \.\.\. 0+$"),
    (b'{"schema": 1' + b"0" * 5000 + b"}", r"numbers must be finite, got 10+ \.\.\. 0+$"),
    (
        b'{"schema": "pyane-benchmark-result", "version": 1, "x": %b%b}' % (b"[" * 900, b"]" * 900),
        "r.json: JSON is nested too deeply",
    ),
]


@pytest.mark.parametrize(("data", "message"), FOREIGN)
def test_foreign_files(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "r.json"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=message):
        load(path)


def test_a_huge_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "MAX_BYTES", 10)
    (tmp_path / "r.json").write_text("{}" + " " * 20)
    with pytest.raises(ConfigError, match="must be at most 10 bytes, got 22"):
        load(tmp_path / "r.json")


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9, 0.99])
def test_a_truncated_file(tmp_path: Path, keep: float) -> None:
    text = results.dumps(DOCUMENT)
    (tmp_path / "r.json").write_text(text[: int(len(text) * keep)])
    with pytest.raises(ConfigError, match=r"r\.json:\d+:\d+: no JSON"):
        load(tmp_path / "r.json")


def test_a_wrong_result_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text("old")
    result = replace(from_dict(DOCUMENT), contributor="a b")
    with pytest.raises(ConfigError, match="contributor"):
        result.save(path)
    assert path.read_text() == "old"
