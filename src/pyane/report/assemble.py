"""A report out of results, the community's facts, or both."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from . import bars, compatibility, measured, tables
from .community import Community, load
from .consistency import disagreements
from .document import (
    Block,
    Bullets,
    Callout,
    Code,
    CodeBlock,
    Document,
    Line,
    Paragraph,
    Section,
    Table,
    marked,
)
from .findings import Measurements, findings, reference_peaks
from .merge import merge_peak, merge_sustained, merge_training
from .predicted import predicted_table
from .rows import TrainingRow

if TYPE_CHECKING:
    from ..bench import Case, Result
    from .measured import Configuration
    from .quantity import Quantity
    from .rows import PeakRow, SustainedRow

_TITLE: Final = "Apple Neural Engine: benchmark report"
_KINDS: Final = {
    "emulator": (
        "Emulator",
        "On the emulator",
        (
            "These figures are a CPU's: pyane's emulator ran the programs. They say nothing about "
            "the speed of an engine and are compared with none."
        ),
    ),
    "stand-in": (
        "Stand-in",
        "On the stand-in for Apple's framework",
        (
            "These figures are a CPU's: a stand-in for Apple's framework, which tests use, ran the "
            "programs. They say nothing about the speed of an engine."
        ),
    ),
}


def build(results: Sequence[Result] = (), *, community: bool = False) -> Document:
    """Tables, charts and findings in the order of the community's report.

    Args:
        results: From `pyane.bench`, of any devices. Those of one chip become ranges; those of the
            emulator and of the stand-in have sections of their own.
        community: With the community's report: its rows, joined by the results' of engines.

    Returns:
        The report; without results and community, what there is to say all the same.
    """
    report = load()
    engine = [r for r in results if r.device.kind == measured.ENGINE]
    figures = _engine_figures(report, engine, community=community)
    failures = _unmeasured(engine)
    sections = [
        *_runs(results),
        *_model(report, results, community=community),
        *_training(figures),
        *_peak(report, figures, community=community),
        *_charts(report, figures, community=community),
        *_sustained(report, figures, community=community),
        *_findings(report, figures, community=community),
        *([Section("Not measured", (Bullets(failures),))] if failures else []),
        *_others(engine),
    ]
    for kind in _KINDS:
        sections += _off_engine(kind, [r for r in results if r.device.kind == kind])
    sections += [*_compatibility(report), _macos(report), _contribute(report)]
    return Document(
        report.title if community else _TITLE,
        _lead(report, results, engine, community=community),
        tuple(sections),
    )


@dataclasses.dataclass(frozen=True)
class _Figures:
    """What the tables of one kind of device show.

    Attributes:
        training: Rows by model and pipeline.
        place: Configuration of the peak table.
        peak, sustained: Rows.
        rates: All configurations of the peak benchmark, by product.
        is_engine: Of engines.
    """

    training: dict[measured.Training, tuple[TrainingRow, ...]]
    place: Configuration
    peak: tuple[PeakRow, ...]
    sustained: tuple[SustainedRow, ...]
    rates: dict[str, dict[Configuration, Quantity]]
    is_engine: bool = True

    def findings(self) -> list[tuple[str, tuple[str, ...]]]:
        """Findings by training table; those that are not about training with the first."""
        tables = [(_words(what), rows) for what, rows in self.training.items()] or [("", ())]
        groups = []
        for i, (what, rows) in enumerate(tables):
            first = i == 0
            found = findings(
                Measurements(
                    rows,
                    self.peak if first else (),
                    self.sustained if first else (),
                    self.rates if first else {},
                    self.is_engine,
                )
            )
            if found:
                groups.append((what, found))
        return groups


def _words(what: measured.Training) -> str:
    """Such as "static pipeline": the community's model goes without saying."""
    model = "" if what.preset == measured.REPORTED.preset else f"{what.preset}, "
    return f"{model}{what.pipeline} pipeline"


def _figures(results: Sequence[Result], place: Configuration) -> _Figures:
    rates = {about.label: found for about, found in measured.peak_rates(results).items()}
    return _Figures(
        measured.training_rows(results),
        place,
        measured.peak_rows(results, place),
        measured.sustained_rows(results),
        rates,
        is_engine=all(r.device.kind == measured.ENGINE for r in results),
    )


def _engine_figures(report: Community, engine: Sequence[Result], *, community: bool) -> _Figures:
    table = report.peak_configuration
    place = (table["depth"], table["channels"], table["spatial"])
    own = _figures(engine, place)
    if not community:
        return own
    rates = dict(report.rates())
    for product, found in own.rates.items():
        rates[product] = {**rates.get(product, {}), **found}
    training = dict(own.training)
    merged = merge_training(
        report.training,
        own.training.get(measured.REPORTED, ()),
        reference_peaks(report.training),
    )
    training.pop(measured.REPORTED, None)
    return _Figures(
        {measured.REPORTED: merged, **training},
        place,
        merge_peak(report.peak, own.peak),
        merge_sustained(report.sustained, own.sustained),
        rates,
    )


def _lead(
    report: Community, results: Sequence[Result], engine: Sequence[Result], *, community: bool
) -> tuple[Line, ...]:
    lines: list[Line] = []
    if community:
        lines.append(f"{report.source} Compiled {report.compiled}; kept by pyane as data.")
        lines.append(
            "Nobody of pyane has measured any of these figures: they are as their contributors "
            "posted them."
        )
    if results:
        n = len(results)
        of_engines = {0: ", none of an engine", n: ""}.get(
            len(engine), f", {len(engine)} of them of engines"
        )
        lines.append(f"Made by pyane from {n} result{'s' * (n != 1)}{of_engines}.")
    elif not community:
        lines.append("No results were given: what follows needs none.")
    return tuple(lines)


def _runs(results: Sequence[Result]) -> list[Section]:
    return [Section("Results", (tables.runs_table(results),))] if results else []


def _model(report: Community, results: Sequence[Result], *, community: bool) -> list[Section]:
    """What the training benchmark trains, on whatever device."""
    presets = {what.preset for what in measured.training_rows(results)}
    reported = measured.REPORTED.preset
    blocks: list[Block] = []
    if community or reported in presets:
        blocks += _reported_model(report)
    others = tables.presets_table(sorted(presets - {reported}))
    if others.rows:
        blocks.append(others)
    return [Section("Model configuration", tuple(blocks))] if blocks else []


def _reported_model(report: Community) -> list[Block]:
    model = report.model
    kernels, gradients = model["kernels_per_step"], model["weight_gradients"]
    return [
        Paragraph(f"The training benchmark of the community's report trains {model['name']}."),
        tables.model_table(model),
        Paragraph(
            (
                f"Kernels per step ({kernels['pipeline']} pipeline): {kernels['total']}, ",
                f"{kernels['weight_bearing']} with weights and ",
                f"{kernels['weight_free']} without (",
                Code(kernels["weight_free_kernel"]),
                ").",
            )
        ),
        Paragraph(
            (
                "For each layer, forward: ",
                *_codes(model["forward_kernels"]),
                "; backward: ",
                *_codes(model["backward_kernels"]),
                ". Weight gradients are products of ",
                Code(gradients["routine"]),
                f" on the {gradients['on']}.",
            )
        ),
    ]


def _codes(names: Sequence[str]) -> list[str]:
    """Names set as code, with commas between them."""
    return [part for i, name in enumerate(names) for part in (", " * (i > 0), Code(name)) if part]


def _training(figures: _Figures) -> list[Section]:
    sections = []
    for what, rows in figures.training.items():
        blocks: list[Block] = [tables.training_table(rows)]
        beside = predicted_table(rows, what)
        blocks += [beside] if beside else []
        sections.append(Section(f"Training performance ({_words(what)})", tuple(blocks)))
    return sections


def _peak(report: Community, figures: _Figures, *, community: bool) -> list[Section]:
    if not figures.peak and not figures.rates:
        return []
    blocks: list[Block] = []
    if figures.peak:
        blocks.append(tables.peak_table(figures.peak, report.peak_notes if community else ()))
    if any(set(found) - {figures.place} for found in figures.rates.values()):
        title = "All configurations, fp16 TFLOPS"
        blocks.append(tables.configurations_table(figures.rates, title=title))
    depth, channels, spatial = figures.place
    title = f"Peak ANE throughput (in memory, {depth}x conv {channels}ch sp{spatial})"
    return [Section(title, tuple(blocks))]


def _charts(report: Community, figures: _Figures, *, community: bool) -> list[Section]:
    axes = report.charts if community else {}
    shown = [
        bars.training_chart(
            rows,
            of="" if len(figures.training) == 1 else _words(what),
            ticks=axes["training"].ticks if axes and what == measured.REPORTED else (),
        )
        for what, rows in figures.training.items()
    ]
    charted = figures.peak
    if community:  # one bar for each chip that the report's chart has
        charted = tuple(row for row in charted if row.status != "missing")
    shown.append(bars.peak_chart(charted, ticks=axes["peak"].ticks if axes else ()))
    shown.append(
        bars.sustained_chart(
            figures.sustained,
            ticks=axes["sustained"].ticks if axes else (),
        )
    )
    if not community:
        shown += [
            bars.spatial_chart(product, found, i)
            for i, (product, found) in enumerate(figures.rates.items(), 1)
        ]
    charts = tuple(chart for chart in shown if chart is not None)
    return [Section("Comparative charts", charts)] if charts else []


def _sustained(report: Community, figures: _Figures, *, community: bool) -> list[Section]:
    if not figures.sustained:
        return []
    notes = report.sustained_notes if community and len(figures.sustained) == 1 else ()
    return [Section("Sustained throughput", (tables.sustained_table(figures.sustained, notes),))]


def _findings(report: Community, figures: _Figures, *, community: bool) -> list[Section]:
    blocks: list[Block] = [
        Bullets(found, f"Computed from the tables{f' ({what})' if what else ''}")
        for what, found in figures.findings()
    ]
    if community:
        apart = disagreements(report)
        if apart:
            blocks.append(Bullets(apart, "Where the community's report disagrees with itself"))
        blocks += [
            Bullets(tuple(marked(c.text) for c in group.claims), f"As reported: {group.title}")
            for group in report.findings
        ]
    return [Section("Key findings", tuple(blocks))] if blocks else []


def _unmeasured(results: Sequence[Result]) -> tuple[Line, ...]:
    """What failed of the benchmarks with tables of their own."""
    items: list[Line] = []
    for name in measured.TABLED:
        cases: dict[str, list[Case]] = {}
        for about, case in measured.unmeasured(results, name):
            cases.setdefault(about.label, []).append(case)
        for label, found in cases.items():
            items += tables.without_figures(found, f"{label}, {name}: ")
    return tuple(items)


def _others(results: Sequence[Result], level: int = 1) -> list[Section]:
    """Benchmarks without a table of their own, each result as it is."""
    sections = []
    for name, found in measured.other_benchmarks(results).items():
        blocks: list[Block] = []
        for about, benchmark in found:
            table = tables.cases_table(benchmark)
            if table is not None:
                blocks.append(dataclasses.replace(table, title=about.label))
            lines = (
                *tables.what_follows(benchmark),
                *tables.without_figures(benchmark.cases),
            )
            if lines:
                blocks.append(Bullets(lines, "" if table else about.label))
        sections.append(Section(f"Benchmark {name}", tuple(blocks), level))
    return sections


def _off_engine(kind: str, results: Sequence[Result]) -> list[Section]:
    """Everything about one kind of device that is no engine, in one place, marked as such."""
    if not results:
        return []
    name, title, warning = _KINDS[kind]
    report = load()
    table = report.peak_configuration
    figures = _figures(results, (table["depth"], table["channels"], table["spatial"]))
    blocks: list[Block] = [Callout(warning)]
    for what, rows in figures.training.items():
        caption = f"Training ({what.preset}, {what.pipeline} pipeline)"
        blocks.append(tables.training_table(rows, title=caption, engine=False))
    depth, channels, spatial = figures.place
    if figures.peak:
        caption = f"Peak ({depth}x conv {channels}ch sp{spatial})"
        blocks.append(tables.peak_table(figures.peak, title=caption, engine=False))
    if any(set(found) - {figures.place} for found in figures.rates.values()):
        caption = "Peak, all configurations, fp16 TFLOPS on a CPU"
        blocks.append(tables.configurations_table(figures.rates, title=caption))
    shown = [
        bars.training_chart(rows, device=name, of=f"{what.preset}, {what.pipeline} pipeline")
        for what, rows in figures.training.items()
    ]
    shown.append(bars.peak_chart(figures.peak, device=name))
    shown.append(bars.sustained_chart(figures.sustained, device=name))
    shown += [
        bars.spatial_chart(label, found, i, device=name)
        for i, (label, found) in enumerate(figures.rates.items(), 1)
    ]
    blocks += [chart for chart in shown if chart is not None and len(chart.bars) > 1]
    if figures.sustained:
        blocks.append(tables.sustained_table(figures.sustained, title="Sustained", engine=False))
    for what_of, found in figures.findings():
        of = f" ({what_of})" if what_of else ""
        blocks.append(Bullets(found, f"Computed from these tables{of}"))
    failures = _unmeasured(results)
    if failures:
        blocks.append(Bullets(failures, "Not measured"))
    others = [
        dataclasses.replace(section, title=f"{section.title} ({name.lower()})")
        for section in _others(results, level=2)
    ]
    return [Section(title, tuple(blocks)), *others]


def _compatibility(report: Community) -> list[Section]:
    chips = compatibility.products()
    derived = compatibility.matrix(tuple(chips))
    table, differences = tables.compatibility_table(derived, report.compatibility, chips)
    whole = [product for chip, product in chips.items() if compatibility.takes_every_count(chip)]
    counts = compatibility.CHANNELS
    notes: list[Line] = [
        (
            "Out of pyane's chip profiles: its linter judges programs as maderix/ANE writes them, "
            "weight records by hand (benchmarks) or whole (trainer)."
        ),
        (
            f"With whole weight records {', '.join(whole)} take every channel count tried, "
            f"{counts[0]} to {counts[-1]}: it is the records that are refused, not the channels."
        ),
        *differences,
    ]
    unreported = [
        product
        for chip, product in chips.items()
        if all(chip not in feature.cells for feature in report.compatibility)
    ]
    if unreported:
        notes.append(f"The community's matrix has no column for {', '.join(unreported)}.")
    shown: Table = dataclasses.replace(table, notes=tuple(notes))
    return [Section("Cross-generation MIL compatibility", (shown,))]


def _macos(report: Community) -> Section:
    items = tuple((f"{issue.versions}: ", *_parts(issue.text)) for issue in report.platform_issues)
    return Section(
        "macOS compatibility issues",
        (Bullets(items), Paragraph("As the community reported them; not verified by pyane.")),
    )


def _parts(text: str) -> tuple[str, ...]:
    line = marked(text)
    return (line,) if isinstance(line, str) else line


def _contribute(report: Community) -> Section:
    return Section(
        "How to contribute",
        (
            Paragraph(
                "Run the benchmarks on your computer and share the file; it holds no personal data, "
                "and pyane bench shows what is in it:"
            ),
            CodeBlock("pyane bench all -o result.json\npyane report result.json -o report.html"),
            Paragraph(
                f"Or run maderix/ANE's trainer, and post its output to {report.contribute_where} "
                f"({', '.join(report.contribute_include)}):"
            ),
            CodeBlock("\n".join(report.contribute_commands)),
            Paragraph(
                "Contributors of the community's report: "
                + ", ".join(f"@{name}" for name in report.contributors)
                + "."
            ),
        ),
    )
