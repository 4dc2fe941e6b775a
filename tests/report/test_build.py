"""Reports of no, one and many results."""

from __future__ import annotations

from fake_results import dispatch, metric, peak, refused, result, sustained, training
from markdown_tables import fences, headings, tables
from pyane.bench import Benchmark, Case, Result
from pyane.report import build
from pyane.report.markdown import render_markdown

ALWAYS = [
    "Cross-generation MIL compatibility",
    "macOS compatibility issues",
    "How to contribute",
]
ROWS = {"depth": 128, "channels": 512, "spatial": 64}


def report(*results: Result) -> str:
    return render_markdown(build(results))


def part(text: str, title: str) -> str:
    """What is below a heading."""
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_no_results() -> None:
    text = report()
    assert headings(text) == ["Apple Neural Engine: benchmark report", *ALWAYS]
    assert "No results were given" in text
    assert "pyane bench all" in text
    assert fences(text, "text") == []


def test_a_result_without_figures() -> None:
    text = report(result("m4max"))
    assert headings(text)[1:] == ["Results", *ALWAYS]
    assert "from 1 result." in text


def test_one_result() -> None:
    text = report(
        result(
            "m4max",
            training=[training(66)],
            peak=peak({64: 11.2, 2048: 17.0}),
            sustained=[sustained(16.5, 85.2, 2048)],
            contributor="@anna",
        )
    )
    assert headings(text)[1:] == [
        "Results",
        "Model configuration",
        "Training performance (static pipeline)",
        "Peak ANE throughput (in memory, 128x conv 512ch sp64)",
        "Comparative charts",
        "Sustained throughput",
        "Key findings",
        *ALWAYS,
    ]
    _runs, _model, speed, _predicted, top, every, long = tables(text)[:7]
    # 1.5 TFLOPS of the 19.4 in the profile.
    assert speed[1] == ["M4 Max", "66.0", "10.0", "3.50s", "1.50", "7.7", "@anna"]
    assert top == [
        ["Chip", "NE Cores", "FP16 TFLOPS (measured)", "Note"],
        ["M4 Max", "16", "11.2", "@anna"],
    ]
    assert every[1:] == [["128x conv 512ch sp64", "11.2"], ["128x conv 512ch sp2048", "17.0"]]
    assert long[1] == ["M4 Max", "128x512_sp2048", "16.5", "85.2 % of profile", "5 s", "@anna"]
    assert "M4 Max: from spatial 64 to 2048" in text
    assert len(fences(text, "text")) == 4


def test_results_of_one_chip_become_a_range() -> None:
    text = report(
        result("m4max", training=[training(66)], peak=peak({64: 11}), contributor="anna"),
        result("m4max", training=[training(71.26, compile_ms=4200)], contributor="bob"),
        result("m2max", training=[training(110)]),
        result("m4max", training=[training(30)], quick=True, contributor="anna"),
    )
    speed = tables(part(text, "Training performance (static pipeline)"))[0]
    assert [row[:2] for row in speed[1:]] == [
        ["M2 Max", "110"],  # chips oldest first
        ["M4 Max", "66.0-71.3"],
        ["M4 Max (quick)", "30.0"],  # never one range with others
    ]
    assert speed[2][3:] == ["3.50-4.20s", "1.50", "7.7", "@anna, @bob"]
    assert len(tables(part(text, "Results"))[0]) == 5


def test_models_and_pipelines_have_tables_of_their_own() -> None:
    text = report(
        result(
            "m4max",
            training=[
                training(5, preset="stories260k", pipeline="dynamic"),
                training(80, pipeline="dynamic"),
                training(66),
            ],
        )
    )
    assert [h for h in headings(text) if h.startswith("Training")] == [
        "Training performance (static pipeline)",
        "Training performance (dynamic pipeline)",
        "Training performance (stories260k, dynamic pipeline)",
    ]
    dynamic = tables(part(text, "Training performance (dynamic pipeline)"))[0]
    assert dynamic[1][:4] == ["M4 Max", "80.0", "10.0", "-"]  # nothing is compiled every ten steps
    shapes = tables(part(text, "Model configuration"))[1]
    assert shapes[1][:2] == ["stories260k", "5"]


def test_failures_are_told() -> None:
    failed = refused("128x512_sp64", "ANECCompile() FAILED", ROWS)
    text = report(result("m2max", peak=[failed], training=[refused("x", "no memory")]))
    top = tables(part(text, "Peak ANE throughput (in memory, 128x conv 512ch sp64)"))[0]
    assert top[1] == ["M2 Max", "16", "FAIL", "(ANECCompile() FAILED)"]
    assert "M2 Max, training: `x` refused: no memory" in text
    assert "FAIL (ANECCompile() FAILED)" not in part(
        text, "Comparative charts"
    )  # no figure: no chart


def test_a_failure_beside_a_figure() -> None:
    failed = refused("128x512_sp64", "why", ROWS)
    text = report(result("m2max", peak=[failed]), result("m4max", peak=peak({64: 12})))
    (chart,) = fences(part(text, "Comparative charts"), "text")
    assert "M2 Max FAIL (why)" in chart
    assert "M2 Max (why)" in part(text, "Key findings")


def test_engine_and_emulator_never_meet() -> None:
    everything = {
        "training": [training(66)],
        "peak": peak({64: 11, 128: 12}),
        "sustained": [sustained(9, 80)],
        "others": [dispatch()],
    }
    text = report(
        result("m4max", **everything),  # type: ignore[arg-type]
        result(None, kind="emulator", cpu="Some(R) CPU @ 2.00GHz", **everything),  # type: ignore[arg-type]
        result("m5", kind="emulator", cpu="Some(R) CPU @ 2.00GHz", **everything),  # type: ignore[arg-type]
        result(None, kind="stand-in", cpu="Other", **everything),  # type: ignore[arg-type]
    )
    engine, _, rest = text.partition("\n## On the emulator\n")
    emulator, _, stand_in = rest.partition("\n## On the stand-in for Apple's framework\n")
    stand_in = stand_in.partition("\n## Cross-generation")[0]
    engine = engine.partition("\n## Model configuration\n")[2]  # behind the list of what was given
    assert "Some" not in engine
    assert "Other" not in engine
    assert "M4 Max" not in emulator + stand_in
    assert "Some (4 threads, as M5)" in emulator
    assert "Some (4 threads)" in emulator
    assert "Other (4 threads)" in stand_in
    for section in (emulator, stand_in):
        assert "These figures are a CPU's" in section
        assert len(tables(section)) >= 5
        for table in tables(section):
            assert "Chip" not in table[0]
            assert not any("ANE" in head for head in table[0])
        for chart in fences(section, "text"):
            assert "ANE" not in chart
    lead = text.partition("\n## Results\n")[0]
    assert "4 results, 1 of them of engines" in lead
    assert "emulator (CPU; not an ANE)" in text


def test_other_benchmarks_are_shown_as_they_are() -> None:
    text = report(result("m4max", others=[dispatch(95.0)]))
    table = tables(part(text, "Benchmark dispatch"))[0]
    assert table == [
        ["Case", "time, us", "min", "p95", "runs", "rate, GFLOP/s"],
        ["smallest", "142.5", "95", "185.2", "3", "2.5"],
    ]
    assert "`too small` refused: width must be at least 32, got 1" in text
    assert "floor: 95 us (median of the smallest kernel)" in text


def test_unknown_chip() -> None:
    text = report(result(None, training=[training(66)]))
    assert tables(part(text, "Training performance (static pipeline)"))[0][1][0] == "unknown chip"


def test_a_benchmark_without_any_figure() -> None:
    text = report(result("m4max", others=[Benchmark("qos", (refused("a", "why"),))]))
    assert part(text, "Benchmark qos") == "\n**M4 Max**\n\n- `a` refused: why\n"


def test_one_line_for_each_reason_and_not_too_many() -> None:
    cases = [refused(f"c{i}", "the same") for i in range(10)]
    cases += [refused(f"d{i}", f"because of {'ab'[i % 2] * (i + 1)}") for i in range(20)]
    cases += [refused(f"e{i}", f"size must be {2 * i}, got {i}.5") for i in range(1, 10)]
    cases.reverse()
    text = part(report(result("m4max", others=[Benchmark("odd", tuple(cases))])), "Benchmark odd")
    listed = ", ".join(f"`e{i}`" for i in range(9, 1, -1))
    # As the first has it: their numbers differ.
    assert f"- {listed} and 1 more refused: size must be 18, got 9.5\n" in text
    assert "- `d19` refused: because of bbb" in text
    assert "`d8`" not in text
    assert "10 more reasons are in the result." in text


def test_figures_that_not_all_cases_have() -> None:
    cases = (
        Case("a", {}, metrics={"time": metric("ms", 1.0)}),
        Case("b", {}, metrics={"time": metric("s", 2.0), "rate": metric("x", 3.0)}),
    )
    text = report(result("m4max", others=[Benchmark("odd", cases)]))
    assert tables(part(text, "Benchmark odd"))[0] == [
        ["Case", "time, ms", "min", "p95", "runs", "time, s", "rate, x"],
        ["a", "1", "1", "1", "1", "-", "-"],
        ["b", "-", "-", "-", "-", "2", "3"],
    ]
