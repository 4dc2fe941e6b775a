"""Results of benchmarks: what a file holds, how it is checked, read and written.

The form is `result-1.schema.json` beside this file; docs/benchmarks.md explains it. Nothing here
measures.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from ..atomic_file import atomic_write
from ..errors import ConfigError

if TYPE_CHECKING:
    import os

SCHEMA_NAME: Final = "pyane-benchmark-result"
VERSION: Final = 1
MAX_BYTES: Final = 64 << 20
"""Of a file that `load` takes; `pyane bench all` writes far less than one."""

MAX_SAMPLES: Final = 100_000
"""Of a figure; the schema's maxItems."""

LARGEST: Final = 1e300
"""Of a figure. Sums of a few larger numbers are no number any more."""

Scalar: TypeAlias = "str | float | int | bool | None"


@dataclass(frozen=True)
class Metric:
    """One figure of a case with all its samples.

    Attributes:
        unit: "ms", "TFLOP/s", ...
        better: "lower" or "higher".
        samples: In the order in which they were taken; at least one, none negative, all finite.
    """

    unit: str
    better: str
    samples: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median of the samples."""
        return float(np.median(self.samples))

    @property
    def min(self) -> float:
        """Smallest sample, be that the best or the worst."""
        return min(self.samples)

    @property
    def p95(self) -> float:
        """95th percentile, linear between neighbouring samples."""
        return float(np.percentile(self.samples, 95))

    @property
    def runs(self) -> int:
        """Number of samples."""
        return len(self.samples)

    @property
    def best(self) -> float:
        """The best sample."""
        return min(self.samples) if self.better == "lower" else max(self.samples)


@dataclass(frozen=True)
class Case:
    """One configuration of a benchmark.

    Attributes:
        name: Unique in its benchmark.
        parameters: What was measured, as scalars by name.
        status: "ok", "refused" (the device did not take the program), "failed" (it ran and gave
            wrong numbers, or an error) or "skipped".
        reason: Why not ok; None when ok.
        metrics: Figures by name; empty unless ok.
    """

    name: str
    parameters: Mapping[str, Scalar]
    status: str = "ok"
    reason: str | None = None
    metrics: Mapping[str, Metric] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """What follows from the cases of a benchmark, such as the place of a cliff.

    Attributes:
        name: What was looked for.
        value: What was found; None when the cases do not show it.
        unit: Of a number.
        rule: How it follows.
    """

    name: str
    value: Scalar
    unit: str | None
    rule: str


@dataclass(frozen=True)
class Benchmark:
    """All cases of one benchmark.

    Attributes:
        name: As in `pyane bench --list`.
        cases: In the order in which they ran.
        findings: What follows from them.
    """

    name: str
    cases: tuple[Case, ...]
    findings: tuple[Finding, ...] = ()

    def case(self, name: str) -> Case | None:
        """The case of that name, or None."""
        return next((case for case in self.cases if case.name == name), None)


@dataclass(frozen=True)
class Software:
    """Which pyane measured; both None when another program did."""

    version: str | None
    commit: str | None


@dataclass(frozen=True)
class DeviceFacts:
    """What programs ran on.

    Attributes:
        kind: "ane", "stand-in" (the library in the engine's place in tests) or "emulator".
        chip: Profile name, of an emulator the imitated one's; None when unknown or none.
        product: As Apple calls the chip.
        numerics: "engine", "ieee" or "hardware".
        strict: An emulator that refuses what its chip refuses.
        faithful: An emulator that makes its chip's silent errors.
        architecture: As the engine's framework says, "h16g".
        build: macOS build that the framework reports.
    """

    kind: str
    chip: str | None
    product: str | None
    numerics: str
    strict: bool = False
    faithful: bool = False
    architecture: str | None = None
    build: str | None = None

    @property
    def is_engine(self) -> bool:
        """Apple's engine; figures of anything else say nothing about it."""
        return self.kind == "ane"

    def __str__(self) -> str:
        """For headings: "ANE, M4 Pro", or "emulator (CPU; not an ANE), as M1, strict"."""
        if self.is_engine:
            return f"ANE, {self.product or 'chip unknown'}"
        words = [f"{self.kind} (CPU; not an ANE)"]
        words += [f"as {self.product}"] if self.product else []
        words += [f"{self.numerics} arithmetic"]
        words += [word for word in ("strict", "faithful") if getattr(self, word)]
        return ", ".join(words)


@dataclass(frozen=True)
class HostFacts:
    """The computer, without anything that tells whose it is.

    Attributes:
        os: "macOS" or "Linux".
        os_version: "26.1"; of Linux the distribution and the kernel's first two numbers.
        cpu: As it calls itself.
        cores: That the process might use.
        threads: That pyane used.
        memory_gb: Physical memory in units of 2**30 bytes.
        isa: Instruction set of pyane's CPU code.
        python: Version.
        numpy: Version.
    """

    os: str | None = None
    os_version: str | None = None
    cpu: str | None = None
    cores: int | None = None
    threads: int | None = None
    memory_gb: float | None = None
    isa: str | None = None
    python: str | None = None
    numpy: str | None = None


@dataclass(frozen=True)
class Result:
    """A run of benchmarks: one file.

    Attributes:
        created: When it began, "2026-11-22T14:00:00Z".
        pyane: Which pyane.
        device: What programs ran on.
        host: The computer.
        settings: What decides sizes and how long is measured; `quick` is always there.
        contributor: Handle of the person, when given.
        notes: By the person.
        benchmarks: In the order in which they ran.
        origin: The program that measured.
    """

    created: str
    pyane: Software
    device: DeviceFacts
    host: HostFacts
    settings: Mapping[str, Scalar]
    benchmarks: tuple[Benchmark, ...] = ()
    contributor: str | None = None
    notes: str | None = None
    origin: str = "pyane"

    def benchmark(self, name: str) -> Benchmark | None:
        """The benchmark of that name, or None."""
        return next((b for b in self.benchmarks if b.name == name), None)

    def metrics(self) -> Iterator[tuple[str, Case, str, Metric]]:
        """Every figure: (benchmark's name, case, metric's name, metric)."""
        for benchmark in self.benchmarks:
            for case in benchmark.cases:
                for name, metric in case.metrics.items():
                    yield benchmark.name, case, name, metric

    def to_dict(self) -> dict[str, Any]:
        """As in a file."""
        return {
            "schema": SCHEMA_NAME,
            "version": VERSION,
            "created": self.created,
            "origin": self.origin,
            "pyane": asdict(self.pyane),
            "device": asdict(self.device),
            "host": asdict(self.host),
            "settings": dict(self.settings),
            "contributor": self.contributor,
            "notes": self.notes,
            "benchmarks": [_benchmark_dict(benchmark) for benchmark in self.benchmarks],
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Check and write; the file is replaced whole or not at all.

        Raises:
            ConfigError: The result is not as its schema says.
            OSError: The file could not be written.
        """
        document = self.to_dict()
        validate(document)
        with atomic_write(path) as file:
            file.write(dumps(document).encode())


def _benchmark_dict(benchmark: Benchmark) -> dict[str, Any]:
    return {
        "name": benchmark.name,
        "cases": [
            {
                "name": case.name,
                "parameters": dict(case.parameters),
                "status": case.status,
                "reason": case.reason,
                "metrics": {name: _metric_dict(m) for name, m in case.metrics.items()},
            }
            for case in benchmark.cases
        ],
        "findings": [asdict(finding) for finding in benchmark.findings],
    }


def _metric_dict(metric: Metric) -> dict[str, Any]:
    return {
        "unit": metric.unit,
        "better": metric.better,
        "samples": list(metric.samples),
        "median": metric.median,
        "min": metric.min,
        "p95": metric.p95,
        "runs": metric.runs,
    }


def dumps(document: Mapping[str, Any]) -> str:
    """JSON for people: indented, but each list of samples on one line."""
    samples: list[str] = []

    def hide(node: Any) -> Any:
        if isinstance(node, Mapping):
            hidden = {key: hide(value) for key, value in node.items()}
            if isinstance(node.get("samples"), list):
                hidden["samples"] = f"\0{len(samples)}"
                samples.append(json.dumps(node["samples"], allow_nan=False))
            return hidden
        return [hide(value) for value in node] if isinstance(node, list) else node

    text = json.dumps(hide(document), indent=2, ensure_ascii=False, allow_nan=False)
    for i, line in enumerate(samples):
        text = text.replace(f'"\\u0000{i}"', line, 1)
    return text + "\n"


@cache
def schema() -> dict[str, Any]:
    """The JSON Schema of a result, as published."""
    text = resources.files(__package__).joinpath("result-1.schema.json").read_text("utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def validate(document: Any, source: str = "result") -> None:
    """Check a decoded file against the schema, and what a schema cannot say.

    Args:
        document: Decoded JSON.
        source: What messages call it.

    Raises:
        ConfigError: It is something else (another program's JSON, another version), or a field is
            missing, wrong, or contradicts its samples. Names the place and the value.
    """
    import jsonschema  # noqa: PLC0415 -- slow to import; only files need it

    if not isinstance(document, Mapping) or document.get("schema") != SCHEMA_NAME:
        if isinstance(document, Mapping):
            got = f"an object with {_some(list(document))}"
        else:
            got = f"a {type(document).__name__}"
        msg = f'{source}: must be a benchmark result ("schema": "{SCHEMA_NAME}"), got {got}'
        raise ConfigError(msg)
    version = document.get("version")
    if version != VERSION or isinstance(version, bool):
        msg = f"{source}: version must be {VERSION}, got {version!r}; a newer pyane may read it"
        raise ConfigError(msg)
    try:
        _check_texts(document, source)
        validator = jsonschema.Draft202012Validator(schema())
        error = min(validator.iter_errors(_thinned(document)), key=_told_first, default=None)
    except RecursionError:
        raise ConfigError(_too_deep(source)) from None
    if error is not None:
        msg = f"{source}: {_place(error.absolute_path)}: {_short(error.message)}"
        raise ConfigError(msg)
    for i, benchmark in enumerate(document["benchmarks"]):
        place = f"benchmarks[{i}]"
        _check_names(source, place, [case["name"] for case in benchmark["cases"]])
        for j, case in enumerate(benchmark["cases"]):
            for name, metric in case["metrics"].items():
                _check_metric(source, f"{place}.cases[{j}].metrics.{name}", metric)
    _check_names(source, "benchmarks", [b["name"] for b in document["benchmarks"]])


def _check_texts(node: Any, source: str) -> None:
    """That they can be written: JSON's escapes, and arguments of programs, may be half a character."""
    if isinstance(node, str):
        try:
            node.encode()
        except UnicodeEncodeError as e:
            msg = f"{source}: texts must be Unicode, got {node[e.start]!a} in {_short(ascii(node))}"
            raise ConfigError(msg) from None
    elif isinstance(node, Mapping):
        for key, value in node.items():
            _check_texts(key, source)
            if key != "samples" or isinstance(value, str):
                _check_texts(value, source)
    elif isinstance(node, list):
        for value in node:
            _check_texts(value, source)


def _too_deep(source: str) -> str:
    return f"{source}: JSON is nested too deeply for a benchmark result"


def _thinned(node: Any) -> Any:
    """With one sample of each figure, where all of them are numbers.

    What a schema says of numbers holds for one as for all; asking for each takes seconds.
    """
    if isinstance(node, list):
        return [_thinned(value) for value in node]
    if not isinstance(node, Mapping):
        return node
    thinned = {key: _thinned(value) for key, value in node.items() if key != "samples"}
    if "samples" in node:
        samples = node["samples"]
        is_plain = isinstance(samples, list) and len(samples) <= MAX_SAMPLES
        is_plain = is_plain and all(type(sample) in {int, float} for sample in samples)
        thinned["samples"] = samples[:1] if is_plain else samples
    return thinned


def _told_first(error: Any) -> tuple[bool, list[str]]:
    """In the order of the file, but what only follows from another field's value last."""
    follows = not {"then", "else"}.isdisjoint(error.absolute_schema_path)
    place = [f"{part:09}" if isinstance(part, int) else part for part in error.absolute_path]
    return follows, place


def _place(path: Sequence[Any]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.lstrip(".") or "the file"


def _short(message: str) -> str:
    return message if len(message) <= 300 else f"{message[:140]} ... {message[-140:]}"


def _some(names: Sequence[Any]) -> str:
    shown = ", ".join(repr(str(name)[:40]) for name in names[:5])
    return f"keys {shown}{', ...' if len(names) > 5 else ''}" if names else "no keys"


def _check_names(source: str, place: str, names: Sequence[str]) -> None:
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        msg = f"{source}: {place}: names must differ, got '{twice}' twice"
        raise ConfigError(msg)


def _check_metric(source: str, place: str, fields: Mapping[str, Any]) -> None:
    samples = fields["samples"]
    wrong = next((sample for sample in samples if not 0 <= sample <= LARGEST), None)
    if wrong is not None:
        msg = f"{source}: {place}: samples must be finite and not negative, got {wrong:g}"
        raise ConfigError(msg)
    metric = Metric(fields["unit"], fields["better"], tuple(map(float, samples)))
    for name in ("median", "min", "p95", "runs"):
        told, found = fields[name], getattr(metric, name)
        # Other programs may add in another order; nobody's differs by more than this.
        if not math.isclose(told, found, rel_tol=1e-9, abs_tol=1e-12):
            msg = f"{source}: {place}: {name} must be {found:.12g}, that of the samples, got {told}"
            raise ConfigError(msg)


def from_dict(document: Any, source: str = "result") -> Result:
    """A result out of a decoded file.

    Raises:
        ConfigError: As `validate`.
    """
    validate(document, source)
    return Result(
        created=document["created"],
        pyane=Software(**document["pyane"]),
        device=DeviceFacts(**document["device"]),
        host=HostFacts(**document["host"]),
        settings=document["settings"],
        benchmarks=tuple(map(_benchmark, document["benchmarks"])),
        contributor=document["contributor"],
        notes=document["notes"],
        origin=document.get("origin", "pyane"),
    )


def _benchmark(fields: Mapping[str, Any]) -> Benchmark:
    cases = tuple(
        Case(
            case["name"],
            case["parameters"],
            case["status"],
            case["reason"],
            {
                name: Metric(m["unit"], m["better"], tuple(map(float, m["samples"])))
                for name, m in case["metrics"].items()
            },
        )
        for case in fields["cases"]
    )
    findings = tuple(Finding(**finding) for finding in fields.get("findings", ()))
    return Benchmark(fields["name"], cases, findings)


def load(path: str | os.PathLike[str]) -> Result:
    """Read a result.

    Raises:
        ConfigError: Not a benchmark result, of another version, or damaged; names file and place.
        OSError: The file cannot be read.
    """
    source = str(path)
    return from_dict(decode(Path(path), source), source)


def decode(path: Path, source: str) -> Any:
    """JSON of a file that may be anything.

    Raises:
        ConfigError: Too large, not text, or no JSON.
        OSError: The file cannot be read.
    """
    n_bytes = path.stat().st_size
    if n_bytes > MAX_BYTES:
        msg = f"{source}: must be at most {MAX_BYTES:,} bytes, got {n_bytes:,}"
        raise ConfigError(msg)
    data = path.read_bytes()

    def no_constant(name: str) -> Any:
        msg = f"{source}: numbers must be finite, got {_short(name)}"
        raise ConfigError(msg)

    def whole(digits: str) -> int:
        # As a float it would be infinite, and thousands of digits Python does not even read.
        return int(digits) if len(digits) <= 300 else no_constant(digits)

    def fraction(digits: str) -> float:
        value = float(digits)
        return value if abs(value) <= LARGEST else no_constant(digits)

    try:
        return json.loads(
            data.decode("utf-8-sig"),
            parse_constant=no_constant,
            parse_int=whole,
            parse_float=fraction,
        )
    except UnicodeDecodeError as e:
        msg = f"{source}: must be JSON in UTF-8, got byte {data[e.start]:#04x} at offset {e.start}"
        raise ConfigError(msg) from None
    except json.JSONDecodeError as e:
        msg = f"{source}:{e.lineno}:{e.colno}: no JSON: {e.msg}"
        raise ConfigError(msg) from None
    except RecursionError:
        raise ConfigError(_too_deep(source)) from None
