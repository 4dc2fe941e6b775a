"""Results of maderix/ANE's programs, as people hand them in: its `community_results`.

What is known of that layout, and read here: the full output of a training run (`train_large`), a
text file that holds JSON lines among others,

    {"type": "step", "step": 12, "loss": 5.1, "t_ane": ..., "compiles": 9}
    {"type": "batch", "batch": 3, "compile_ms": ..., "train_ms": ..., "ms_per_step": ...}
    {"type": "perf", "ane_tflops": ..., "ane_util_pct": ...}

and folders of such files. The chip is told beside it: by the caller, by the name of the file or of
its folder ("m4_max.txt"), or in the text. Other files are refused with what they lack. `pyane train
--jsonl` writes the same lines, which name their device.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

from .. import chips
from ..errors import ConfigError
from .result import (
    LARGEST,
    MAX_BYTES,
    Benchmark,
    Case,
    DeviceFacts,
    HostFacts,
    Metric,
    Result,
    Software,
)

ORIGIN: Final = "maderix/ANE train_large"

# Record type, field, metric, unit, better.
_FIELDS: Final = (
    ("batch", "ms_per_step", "time", "ms", "lower"),
    ("step", "t_ane", "ane_time", "ms", "lower"),
    ("batch", "compile_ms", "compile", "ms", "lower"),
    ("perf", "ane_tflops", "rate", "TFLOP/s", "higher"),
    ("perf", "ane_util_pct", "utilisation", "%", "higher"),
)
_TYPES: Final = ("step", "batch", "perf")
_CHIP: Final = re.compile(r"(?<![a-z0-9])m(\d)[ _-]?(pro|max|ultra)?(?![a-z0-9])", re.IGNORECASE)
_MACOS: Final = re.compile(r"\bmacOS\s+(\d+(?:\.\d+){0,2})\b", re.IGNORECASE)


def load_folder(folder: str | os.PathLike[str], *, chip: str | None = None) -> list[Result]:
    """Every submission in a folder and those below it, sorted by path.

    Raises:
        ConfigError: No submission, or a .txt, .log, .json or .jsonl file that is none.
        OSError: A file cannot be read.
    """
    root = Path(folder)
    suffixes = {".txt", ".log", ".json", ".jsonl"}
    files = sorted(p for p in root.rglob("*") if p.is_file() and p.suffix.lower() in suffixes)
    if not files:
        msg = (
            f"{root}: must hold outputs of training runs ({', '.join(sorted(suffixes))}), got none"
        )
        raise ConfigError(msg)
    return [load(path, chip=chip) for path in files]


def load(
    path: str | os.PathLike[str], *, chip: str | None = None, contributor: str | None = None
) -> Result:
    """Read the output of one training run.

    Args:
        path: The file.
        chip: On which it ran; None: as the file's name, its folder's, or its text says.
        contributor: Handle of the person.

    Returns:
        A result with the benchmark "training".

    Raises:
        ConfigError: No JSON lines of a training run are in it, or the chip is not told, or is one
            that does not exist.
        OSError: The file cannot be read.
    """
    path = Path(path)
    n_bytes = path.stat().st_size
    if n_bytes > MAX_BYTES:
        msg = f"{path}: must be at most {MAX_BYTES:,} bytes, got {n_bytes:,}"
        raise ConfigError(msg)
    text = path.read_text("utf-8", errors="replace")
    records = list(_records(text))
    kinds = {str(r["device"]) for r in records if r.get("device") is not None}
    if not kinds <= {"ane", "emulator"} or len(kinds) > 1:
        msg = f"{path}: 'device' must be 'ane' or 'emulator' throughout, got {sorted(kinds)}"
        raise ConfigError(msg)
    kind = kinds.pop() if kinds else "ane"  # Upstream's program runs on nothing else.
    metrics = _metrics(records)
    if "time" not in metrics:
        msg = (
            f"{path}: must hold JSON lines of a training run "
            f'({{"type": "batch", ..., "ms_per_step": ...}}), got {len(records)} lines of its types '
            f"({', '.join(_TYPES)}) and no ms_per_step; of other layouts of maderix/ANE's "
            "community_results pyane knows nothing"
        )
        raise ConfigError(msg)
    profile = chips.find(chip) if chip else _find_chip(path, text)
    if profile is None and kind == "ane":
        msg = (
            f"{path}: does not say the chip; name it (chip=..., or in the file's name: m4_max.txt)"
        )
        raise ConfigError(msg)
    found = _MACOS.search(text)
    made = datetime.fromtimestamp(path.stat().st_mtime, timezone.utc)
    case = Case("static", {"pipeline": "static"}, metrics=metrics)
    return Result(
        created=made.strftime("%Y-%m-%dT%H:%M:%SZ"),
        pyane=Software(None, None),
        device=DeviceFacts(
            kind=kind,
            chip=profile.name if profile else None,
            product=profile.product if profile else None,
            numerics="engine" if kind == "ane" else "ieee",
        ),
        host=HostFacts(os="macOS" if kind == "ane" else None, os_version=found and found[1]),
        settings={"quick": False},
        benchmarks=(Benchmark("training", (case,)),),
        contributor=contributor,
        notes="Imported; the date is the file's.",
        origin=ORIGIN,
    )


def _records(text: str) -> Iterable[Mapping[str, Any]]:
    for line in text.splitlines():
        stripped = line.strip()
        if not stripped.startswith("{"):
            continue
        try:
            record = json.loads(stripped)
        except (ValueError, RecursionError):
            continue  # Other programs print braces, too; numbers of 5000 digits are a ValueError.
        if isinstance(record, dict) and record.get("type") in _TYPES:
            yield record


def _metrics(records: Iterable[Mapping[str, Any]]) -> dict[str, Metric]:
    samples: dict[str, list[float]] = {name: [] for _, _, name, _, _ in _FIELDS}
    for record in records:
        for kind, key, name, _, _ in _FIELDS:
            value = record.get(key)
            if record["type"] != kind or isinstance(value, bool):
                continue
            if isinstance(value, int | float) and 0 <= value <= LARGEST:
                samples[name].append(float(value))
    return {
        name: Metric(unit, better, tuple(samples[name]))
        for _, _, name, unit, better in _FIELDS
        if samples[name]
    }


def _find_chip(path: Path, text: str) -> chips.Chip | None:
    known = {chip.name: chip for chip in chips.all_chips()}
    for place in (path.stem, path.parent.name, text):
        names = {f"m{n}{part.lower()}" for n, part in _CHIP.findall(place)} & set(known)
        if len(names) == 1:
            return known[names.pop()]
    return None
