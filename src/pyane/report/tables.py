"""The tables of the report out of rows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .document import Code, Line, Table
from .quantity import Quantity, significant
from .rows import PeakRow, SustainedRow, TrainingRow

if TYPE_CHECKING:
    from ..bench import Benchmark, Case, Result
    from .community import Feature
    from .compatibility import MatrixRow
    from .findings import Rates

_NONE = "-"
_FAILED = "FAIL"
_MAX_REASON = 400  # characters
_MAX_REASONS, _MAX_NAMES = 12, 8


def model_table(model: Mapping[str, Any]) -> Table:
    """The model's configuration, as community.json has it."""
    parameters, data, optimizer = (
        model["parameters_millions"],
        model["data"],
        model["optimizer"],
    )
    tokens = Quantity.of(data["tokens_millions"])
    rate = Quantity.of(optimizer["learning_rate"])
    tokenised = ", pretokenized" if data["pretokenized"] else ""
    total = (
        f"{parameters['total']}M ({parameters['transformer']}M transformer + "
        f"{parameters['embedding']}M embedding)"
    )
    settings = (
        f"lr={_plain_rate(rate.low)} to {_plain_rate(rate.high)}, b1={optimizer['beta1']}, "
        f"b2={optimizer['beta2']}"
    )
    rows = (
        ("Architecture", f"{model['architecture']} ({', '.join(model['features'])})"),
        ("Layers", str(model["layers"])),
        ("Dimension", str(model["dimension"])),
        ("Hidden (FFN)", str(model["hidden"])),
        ("Heads", str(model["heads"])),
        ("Vocab", f"{model['vocabulary']} ({model['tokenizer']})"),
        ("Sequence", str(model["sequence"])),
        ("Total params", total),
        ("Training data", f"{data['name']} ({tokens}M tokens{tokenised})"),
        ("Optimizer", f"{optimizer['name']} ({settings})"),
        ("Precision", f"{model['precision']['ane']} on ANE, {model['precision']['cpu']} on CPU"),
    )
    return Table(("Parameter", "Value"), rows, "ll")


def _plain_rate(rate: float) -> str:
    return str(Quantity(rate, rate))


def presets_table(names: Sequence[str]) -> Table:
    """Shapes of models that pyane trains, by the names of their presets; unknown ones left out."""
    from ..llama import PRESETS  # noqa: PLC0415 -- only reports of such models need it

    rows = tuple(
        (
            name,
            *(
                str(n)
                for n in (c.n_layers, c.dim, c.hidden_dim, c.n_heads, c.vocab_size, c.seq_len)
            ),
            f"{c.n_parameters:,}",
        )
        for name in names
        if (c := PRESETS.get(name)) is not None
    )
    header = ("Preset", "Layers", "Dimension", "Hidden", "Heads", "Vocab", "Sequence", "Parameters")
    return Table(header, rows, "lrrrrrrr")


def training_table(rows: Sequence[TrainingRow], *, title: str = "", engine: bool = True) -> Table:
    """Training speed.

    Args:
        rows: One per chip.
        title: Above the table.
        engine: Figures of an engine, not of an emulator.
    """
    marks = iter("*†‡§")
    cells, notes = [], []
    for row in rows:
        name = row.product
        if row.footnote:
            mark = next(marks, "*")
            name += mark
            notes.append(f"{mark}{row.product}: {row.footnote}")
        seconds = row.compile_seconds_per_10
        cells.append(
            (
                name,
                str(row.ms_per_step),
                _or_none(row.ane_ms),
                f"{seconds}s" if seconds else _NONE,
                _or_none(row.ane_tflops),
                *((_or_none(row.utilisation_percent),) if engine else ()),
                _who(row.contributors, row.note),
            )
        )
    on = "ANE" if engine else "Emulator"
    header = ["Chip" if engine else "CPU", "ms/step", f"{on} ms", "Compile/10", f"{on} TFLOPS"]
    header += ["Util%"] if engine else []
    align = "l" + "r" * (len(header) - 1) + "l"
    return Table((*header, "Contributor"), tuple(cells), align, tuple(notes), title)


def peak_table(
    rows: Sequence[PeakRow], notes: Sequence[str] = (), *, title: str = "", engine: bool = True
) -> Table:
    """Throughput in one configuration.

    Args:
        rows: One per chip, or submission.
        notes: Sentences below it.
        title: Above it.
        engine: Figures of an engine, with its cores.
    """
    has_ratings = any(row.rated_tops or row.rated_note for row in rows)
    cells = []
    for row in rows:
        measured = {"failed": _FAILED, "missing": _NONE}.get(row.status, _or_none(row.tflops))
        rated = row.rated_note or (_number(row.rated_tops) if row.rated_tops else _NONE)
        about = [str(row.ne_cores or _NONE), measured] if engine else [measured]
        about += [rated] if has_ratings else []
        cells.append((row.product, *about, _who(row.contributors, shortened(row.note))))
    header = ["Chip", "NE Cores", "FP16 TFLOPS (measured)"] if engine else ["CPU", "FP16 TFLOPS"]
    header += ["Rated TOPS (Apple spec)"] if has_ratings else []
    header += ["Note"]
    align = "l" + "r" * (len(header) - 2) + "l"
    return Table(tuple(header), tuple(cells), align, tuple(notes), title)


def configurations_table(rates: Rates, *, title: str = "") -> Table:
    """All configurations of the peak benchmark that anybody measured."""
    places = sorted({place for found in rates.values() for place in found})
    rows = tuple(
        (
            f"{depth}x conv {channels}ch sp{spatial}",
            *(_or_none(found.get((depth, channels, spatial))) for found in rates.values()),
        )
        for depth, channels, spatial in places
    )
    return Table(("Configuration", *rates), rows, "l" + "r" * len(rates), (), title)


def sustained_table(
    rows: Sequence[SustainedRow],
    notes: Sequence[str] = (),
    *,
    title: str = "",
    engine: bool = True,
) -> Table:
    """Throughput over seconds.

    Args:
        rows: One per chip and configuration.
        notes: Sentences below it.
        title: Above it.
        engine: Figures of an engine.
    """
    cells = tuple(
        (
            row.product,
            row.configuration or _NONE,
            str(row.tflops),
            f"{row.percent} % of {row.percent_of}" if row.percent else _NONE,
            f"{row.window_seconds:g} s",
            _who(row.contributors, ""),
        )
        for row in rows
    )
    first = "Chip" if engine else "CPU"
    header = (first, "Configuration", "TFLOPS", "Share", "Window", "Contributor")
    return Table(header, cells, "llrrrl", tuple(notes), title)


def compatibility_table(
    derived: Sequence[MatrixRow], reported: Sequence[Feature], chips: Mapping[str, str]
) -> tuple[Table, list[str]]:
    """The matrix from the chip profiles, and where the community's differs.

    Args:
        derived: Rows out of the profiles.
        reported: The community's rows; they have the names.
        chips: Products by name, the columns.

    Returns:
        The table, and a sentence for each cell that is not as reported.
    """
    features = {feature.id: feature for feature in reported}
    rows, differences = [], []
    for row in derived:
        feature = features[row.id]
        rows.append((feature.name, *(row.cells[chip] for chip in chips)))
        for chip, product in chips.items():
            cell, community = row.cells[chip], feature.cells.get(chip)
            if community is not None and cell != community:
                differences.append(
                    f"{feature.name}, {product}: the profiles say {cell}, the community {community}."
                )
    header = ("Feature", *chips.values())
    return Table(header, tuple(rows), "l" * len(header)), differences


def runs_table(results: Sequence[Result]) -> Table:
    """What was handed in: device, computer, versions, date, contributor."""
    rows = tuple(
        (
            str(i),
            str(result.device),
            _host(result),
            _software(result),
            result.created[:10] + (" (quick)" if result.settings.get("quick") else ""),
            _who((result.contributor.lstrip("@"),) if result.contributor else (), ""),
        )
        for i, result in enumerate(results, 1)
    )
    notes = tuple(f"Note to {i}: {r.notes}" for i, r in enumerate(results, 1) if r.notes)
    header = ("No.", "Device", "Computer", "Measured by", "Date", "Contributor")
    return Table(header, rows, "llllll", notes)


def _host(result: Result) -> str:
    host = result.host
    words = [" ".join(w for w in (host.os, host.os_version) if w), host.cpu or ""]
    words += [f"{host.threads} threads"] if host.threads else []
    words += [f"{host.memory_gb:g} GB"] if host.memory_gb else []
    return ", ".join(word for word in words if word)


def _software(result: Result) -> str:
    version, commit = result.pyane.version, result.pyane.commit
    if version is None:
        return result.origin
    return f"{result.origin} {version}" + (f" ({commit[:16]})" if commit else "")


def cases_table(benchmark: Benchmark) -> Table | None:
    """All cases of a benchmark with figures, as they are; None where there are none.

    A row for each: median, smallest and 95th percentile of its first figure, how often that was
    taken, and the medians of its other figures.
    """
    names = dict.fromkeys(
        (name, metric.unit) for case in benchmark.cases for name, metric in case.metrics.items()
    )
    if not names:
        return None
    first, *others = names
    rows: list[tuple[Line, ...]] = []
    for case in benchmark.cases:
        if not case.metrics:
            continue
        medians = {(name, m.unit): _significant(m.median) for name, m in case.metrics.items()}
        metric = case.metrics.get(first[0])
        if metric is not None and metric.unit == first[1]:
            spread = [_significant(metric.min), _significant(metric.p95), str(metric.runs)]
        else:
            spread = [_NONE] * 3
        shown = (medians.get(name, _NONE) for name in others)
        rows.append((case.name, medians.get(first, _NONE), *spread, *shown))
    heads = [f"{name}, {unit}" for name, unit in (first, *others)]
    header = ("Case", heads[0], "min", "p95", "runs", *heads[1:])
    return Table(header, tuple(rows), "l" + "r" * (len(header) - 1))


def what_follows(benchmark: Benchmark) -> tuple[Line, ...]:
    """Findings that the benchmark itself has, with their rules."""
    lines = []
    for finding in benchmark.findings:
        value = _NONE if finding.value is None else _scalar(finding.value)
        unit = f" {finding.unit}" if finding.unit else ""
        lines.append(f"{finding.name}: {value}{unit} ({finding.rule})")
    return tuple(lines)


def without_figures(cases: Iterable[Case], prefix: str = "") -> list[Line]:
    """Why cases gave no figure, a line for each reason; a few of them where there are many.

    Reasons that differ in their numbers alone are one, told as the first case has it.

    Args:
        cases: Any.
        prefix: In front of each line.
    """
    reasons: dict[tuple[str, str], list[Case]] = {}
    for case in cases:
        if case.status != "ok":
            alike = re.sub(r"[0-9][0-9.,]*", "0", case.reason or "")
            reasons.setdefault((case.status, alike), []).append(case)
    lines: list[Line] = []
    for (status, _), found in list(reasons.items())[:_MAX_REASONS]:
        more = f" and {len(found) - _MAX_NAMES} more" if len(found) > _MAX_NAMES else ""
        shown = [part for case in found[:_MAX_NAMES] for part in (", ", Code(case.name))][1:]
        lines.append((prefix, *shown, f"{more} {status}: {shortened(found[0].reason or '')}"))
    if len(reasons) > _MAX_REASONS:
        lines.append(f"{prefix}{len(reasons) - _MAX_REASONS} more reasons are in the result.")
    return lines


def _scalar(value: object) -> str:
    return _significant(value) if isinstance(value, float) else str(value)


def _significant(number: float) -> str:
    return significant(number, 4)


def _number(number: float) -> str:
    return str(Quantity(number, number))


def _or_none(quantity: Quantity | None) -> str:
    return str(quantity) if quantity else _NONE


def _who(contributors: Sequence[str], note: str) -> str:
    names = ", ".join(f"@{name}" for name in contributors)
    return f"{names} ({note})".strip() if note else names


def shortened(text: str) -> str:
    """A reason, cut where it becomes a page."""
    text = " ".join(text.split())
    return text if len(text) <= _MAX_REASON else text[: _MAX_REASON - 1] + "…"
