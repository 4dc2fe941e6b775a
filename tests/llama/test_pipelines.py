"""Pipelines and layouts: the same numbers, laid out differently."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import backend
import llama_golden as golden
import pyane
from pyane._core import train as cpu
from pyane.errors import CompileBudgetError, CompileError, ConfigError, EvaluateError
from pyane.llama import PRESETS, Config, Model, Parameters, create_model
from pyane.llama.classifier import classifier_shape
from pyane.llama.kernels import KernelShape
from pyane.llama.options import choose_options, for_chip

LAYOUTS = [
    {"weights_as": weights_as, "taps": taps, "pipeline": pipeline}
    for pipeline, weights_as, taps in itertools.product(
        ("dynamic", "static"), ("inputs", "packed"), ("outputs", "concat")
    )
]


def layout_id(options: dict[str, str]) -> str:
    return "-".join(options.values())


def make_model(case: golden.Golden, **options: Any) -> Model:
    parameters = Parameters(case.config)
    for name, value in case.weights.items():
        parameters[name][...] = value
    device = backend.device()
    return create_model(
        case.config, parameters, device=device, batch=case.targets.shape[1], **options
    )


def results(model: Model, case: golden.Golden, *, steps: int = 1) -> list[tuple[float, bytes]]:
    """Losses and gradients, over steps that move every weight."""
    found = []
    for step in range(steps):
        model.zero_gradients()
        loss = model.loss_and_gradients(case.tokens[step, :, :-1], case.targets[step])
        found.append((loss, model.gradients.flat.tobytes()))
        model.parameters.flat[...] -= 0.01 * model.gradients.flat
        model.upload_weights()
    return found


@pytest.fixture(scope="module")
def plain() -> Callable[[str], list[tuple[float, bytes]]]:
    """What the dynamic pipeline with a surface for every tensor gives, by golden."""
    known: dict[str, list[tuple[float, bytes]]] = {}

    def find(name: str) -> list[tuple[float, bytes]]:
        if name not in known:
            case = golden.load(name)
            with make_model(case, weights_as="inputs", taps="outputs") as model:
                known[name] = results(model, case, steps=2)
        return known[name]

    return find


@pytest.mark.parametrize("options", LAYOUTS[1:], ids=layout_id)
@pytest.mark.parametrize("name", golden.NAMES)
def test_layouts_give_the_same_bits(
    name: str, options: dict[str, str], plain: Callable[[str], Any]
) -> None:
    """The same operations on the same numbers, in static kernels as convolutions, also after
    weights have changed; every golden differs in heads, batch and tied classifier."""
    case = golden.load(name)
    with make_model(case, **options) as model:
        assert results(model, case, steps=2) == plain(name)
        assert not model.overflowed


@pytest.mark.parametrize("options", [LAYOUTS[3], LAYOUTS[7]], ids=layout_id)
@pytest.mark.parametrize("number", range(4))
def test_any_sizes(number: int, options: dict[str, str], rng: np.random.Generator) -> None:
    """Sizes that share no factors, down to one."""
    n_kv_heads, group, half = (int(n) for n in rng.integers(1, 5, 3))
    is_own = bool(number % 2)
    config = Config(
        dim=int(rng.integers(1, 50)) if is_own else n_kv_heads * group * 2 * half,
        hidden_dim=int(rng.integers(1, 50)),
        n_layers=2,
        n_heads=n_kv_heads * group,
        n_kv_heads=n_kv_heads,
        head_dim=2 * half if is_own else 0,
        qk_norm=bool(number // 2),
        vocab_size=int(rng.integers(2, 50)),
        seq_len=int(rng.integers(1, 30)),
    )
    batch = int(rng.integers(1, 4))
    parameters = Parameters(config).init(rng)
    tokens = rng.integers(0, config.vocab_size, (batch, config.seq_len))
    found = []
    for given in ({}, options):
        with create_model(
            config, parameters, device=backend.device(), batch=batch, **given
        ) as model:
            loss = model.loss_and_gradients(tokens, tokens[:, ::-1])
            found.append((loss, model.gradients.flat.tobytes()))
    assert found[0] == found[1]


@pytest.mark.parametrize("blobs", ["per-matrix", "single"])
def test_blobs_are_laid_out_as_asked(
    blobs: str, monkeypatch: pytest.MonkeyPatch, plain: Callable[[str], Any]
) -> None:
    files: list[set[str]] = []
    compile_program = pyane.Device.compile

    def record(self: pyane.Device, program: Any, weights: Any = None) -> pyane.Kernel:
        files.append(set(program.weights if weights is None else weights))
        return compile_program(self, program, weights)

    monkeypatch.setattr(pyane.Device, "compile", record)
    case = golden.load("gqa_untied")
    with make_model(case, pipeline="static", blobs=blobs) as model:
        assert results(model, case)[0] == plain("gqa_untied")[0]
    folder = "@model_path/weights/"
    if blobs == "single":
        assert all(found <= {folder + "weight.bin"} for found in files)
    else:
        assert {folder + "w1.bin", folder + "w3.bin", folder + "w2.bin"} <= files[1]
        assert not any(folder + "weight.bin" in found for found in files)
        # One constant a file.
        assert max(len(found) for found in files) >= 6


@pytest.mark.parametrize(
    "options",
    [
        {"cls": "ane"},
        {"rmsnorm_backward": "ane"},
        {"cls": "ane", "rmsnorm_backward": "ane", "weights_as": "packed", "taps": "concat"},
        {"cls": "ane", "rmsnorm_backward": "ane", "pipeline": "static"},
    ],
    ids=lambda options: "-".join(f"{k}={v}" for k, v in options.items()),
)
@pytest.mark.parametrize("name", golden.NAMES)
def test_more_on_the_device_stays_within_fp16(name: str, options: dict[str, str]) -> None:
    """Against PyTorch: the roundings of tests/llama/test_model.py, and those that are added."""
    case = golden.load(name)
    # forward: norm's result, logits; backward: dlogits, dx of the norms: u 2, g 1, mean 2, dx 3, twice.
    per_layer, once = (16, 0) if "rmsnorm_backward" in options else (0, 0)
    once = 4 if "cls" in options else once
    n_roundings = (40 + per_layer) * case.config.n_layers + once
    allowed = 2 * 2.0**-11 * np.sqrt(n_roundings)
    with make_model(case, **options) as model:
        loss = model.loss_and_gradients(case.tokens[0, :, :-1], case.targets[0])
        assert abs(loss - case.loss) < allowed * np.sqrt(2 * np.mean(case.logits**2))
        for name_, gradient in model.gradients.items():
            expected = case.gradients[name_]
            error = np.linalg.norm(gradient - expected) / np.linalg.norm(expected)
            assert error < allowed, name_
        assert not model.overflowed
        model.loss_and_gradients(case.tokens[0, :, :-1], case.targets[0], loss_scale=2.0**40)
        assert model.overflowed


def test_classifier_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A vocabulary longer than the device's axes: the last part is filled up."""
    case = golden.load("gqa_untied")
    tokens, targets = case.tokens[0, :, :-1], case.targets[0]
    with make_model(case, cls="ane") as model:
        whole = model.loss_and_gradients(tokens, targets)
        expected = model.gradients.flat.copy()
    # 37 tokens: 10, 10, 10, 7
    monkeypatch.setattr("pyane.llama.classifier._most_rows", lambda _: 11)
    with make_model(case, cls="ane") as model:
        assert model.kernels_per_step == 9 * 3 + 2 * 4
        assert model.loss_and_gradients(tokens, targets) == whole  # the same dot products
        error = np.linalg.norm(model.gradients.flat - expected) / np.linalg.norm(expected)
        # dx is rounded once per part, which the 20 roundings of each layer's backward pass carry on.
        assert error < 2 * 2.0**-11 * np.sqrt(4 + 20 * 3)


@pytest.mark.parametrize(
    ("preset", "chip", "rows", "n_parts"),
    [
        ("stories110m", None, 32000, 1),
        ("stories110m", "m1", 16000, 2),
        ("stories110m", "m4", 32000, 1),
        # Packed beside its gradient, a part may only be half as wide.
        ("stories110m", "m3", 8000, 4),
        ("qwen3-0.6b", "m4", 30388, 5),  # 5 * 30388 >= 151936; a sum may have 32768 terms
    ],
)
def test_parts_of_the_classifier_suit_the_chip(
    preset: str, chip: str | None, rows: int, n_parts: int
) -> None:
    shape = KernelShape(PRESETS[preset], 1, 256)
    found, definitions = classifier_shape(shape, for_chip(chip), chip)
    assert (found.classifier_rows, definitions.n_layers) == (rows, n_parts)


def test_kernels_of_the_report() -> None:
    """72 a step for 12 layers, 60 of them with weights; sdpaBwd2 is compiled once."""
    config = Config(
        dim=8, hidden_dim=8, n_layers=12, n_heads=2, n_kv_heads=2, vocab_size=5, seq_len=4
    )
    parameters = Parameters(config).init(np.random.default_rng(0))
    device = backend.device()
    with create_model(config, parameters, device=device, pipeline="static") as model:
        assert model.kernels_per_step == 72
        assert model.n_compiles == 0
        model.upload_weights()
        assert model.n_compiles == 61
        model.upload_weights()
        assert model.n_compiles == 121
        model.logits([[1, 2]])
        assert model.n_compiles == 124
    with create_model(config, parameters, device=device) as model:
        model.loss_and_gradients([[1, 2]], [[2, 3]])
        model.upload_weights()
        assert model.n_compiles == 9
        assert model.kernels_per_step == 9 * 12


def test_programs_of_old_weights_are_unloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before new ones are compiled: both would take twice the memory, and an engine's slots."""
    events: list[str] = []
    compile_program, unload = pyane.Device.compile, pyane.Kernel.unload

    def record_compile(self: pyane.Device, *program: Any) -> pyane.Kernel:
        events.append("compile")
        return compile_program(self, *program)

    def record_unload(self: pyane.Kernel) -> None:
        events.append("unload")
        unload(self)

    monkeypatch.setattr(pyane.Device, "compile", record_compile)
    monkeypatch.setattr(pyane.Kernel, "unload", record_unload)
    case = golden.load("gqa_tied")
    n = 5 * case.config.n_layers
    with make_model(case, pipeline="static") as model:
        model.upload_weights()
        assert events == ["compile"] * (n + 1)
        model.upload_weights()
        assert events[n + 1 :] == ["unload"] * n + ["compile"] * n
    assert events.count("unload") == events.count("compile")


def test_static_weights_are_those_uploaded_last() -> None:
    case = golden.load("gqa_tied")
    tokens, targets = case.tokens[0, :, :-1], case.targets[0]
    with make_model(case, pipeline="static") as model:
        before = model.loss(tokens, targets)
        assert before == model.loss_and_gradients(tokens, targets)
        model.parameters["wq"][...] *= 0.5
        assert model.loss(tokens, targets) == before
        model.upload_weights()
        assert model.loss(tokens, targets) != before


@pytest.mark.parametrize("name", ["gqa_tied", "gqa_untied"])
def test_an_update_uploads_what_it_changes(name: str) -> None:
    """The bits of the weights that the layers read are those of `upload_weights`."""
    case = golden.load(name)
    tokens, targets = case.tokens[0, :, :-1], case.targets[0]
    found = []
    for in_one_pass in (False, True):
        with make_model(case, weights_as="inputs") as model:
            with model.half_weights() as halves:
                assert halves is None  # Nothing has been uploaded yet.
            model.loss_and_gradients(tokens, targets)
            flat = model.parameters.flat
            moments = np.zeros_like(flat), np.zeros_like(flat)
            with model.half_weights() as halves:
                assert halves is not None
                given = {"halves": halves} if in_one_pass else {}
                options = {"step": 1, "learning_rate": 0.01, **given}
                cpu.adam_update(flat, model.gradients.flat, *moments, **options)
            if not in_one_pass:
                model.upload_weights()
            model.zero_gradients()
            loss = model.loss_and_gradients(tokens, targets)
            found.append((loss, model.gradients.flat.tobytes(), model.logits(tokens).tobytes()))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "options", [{"pipeline": "static"}, {"weights_as": "packed"}, {"cls": "ane"}], ids=str
)
def test_an_update_cannot_upload_to_other_layouts(options: dict[str, str]) -> None:
    with make_model(golden.load("gqa_tied"), **options) as model:
        model.upload_weights()
        with model.half_weights() as halves:
            assert halves is None


def test_a_spent_budget_is_found_before_anything_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    device = pyane.device("emulator")
    assert device.budget() is None
    monkeypatch.setenv("PYANE_COMPILE_BUDGET", "1")
    budget = device.budget()
    assert budget is not None
    limit = budget.compiles + 5 * 2 + 1 + 4
    monkeypatch.setenv("PYANE_COMPILE_BUDGET", str(limit))
    case = golden.load("gqa_tied")
    tokens, targets = case.tokens[0, :, :-1], case.targets[0]
    parameters = Parameters(case.config).init(np.random.default_rng(1))
    with create_model(case.config, parameters, device=device, pipeline="static") as model:
        loss = model.loss_and_gradients(tokens, targets)
        parameters["w1"][...] *= 0.9
        with pytest.raises(
            CompileBudgetError,
            match=rf"must compile 10 programs .* but of {limit} .* {limit - 4} are",
        ):
            model.upload_weights()
        # The old programs are there still.
        assert model.loss(tokens, targets) == loss
        budget = device.budget()
        assert budget is not None
        assert (budget.compiles, budget.compile_limit) == (limit - 4, limit)
        for _ in range(4):
            device.compile(SMALL)
        with pytest.raises(CompileBudgetError, match=f"compiled {limit} programs"):
            device.compile(SMALL)
        monkeypatch.delenv("PYANE_COMPILE_BUDGET")
        model.upload_weights()
        assert model.loss(tokens, targets) != loss
    monkeypatch.setenv("PYANE_COMPILE_BUDGET", "many")
    with pytest.raises(
        pyane.Error, match="PYANE_COMPILE_BUDGET must be a positive number, got 'many'"
    ):
        device.budget()


@pytest.mark.parametrize("is_first", [True, False])
def test_an_upload_that_fails_halfway_can_be_repeated(
    is_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = golden.load("gqa_tied")
    tokens, targets = case.tokens[0, :, :-1], case.targets[0]
    compile_program = pyane.Device.compile
    left = 10**6

    def fail(self: pyane.Device, *program: Any) -> pyane.Kernel:
        nonlocal left
        left -= 1
        if left < 0:
            msg = "no more"
            raise CompileError(msg)
        return compile_program(self, *program)

    monkeypatch.setattr(pyane.Device, "compile", fail)
    with make_model(case, pipeline="static") as model:
        if not is_first:
            model.upload_weights()
            model.parameters["wq"][...] *= 0.5
        left = 7
        with pytest.raises(CompileError, match="no more"):
            model.upload_weights()
        left = 0
        if is_first:  # It tries again by itself.
            with pytest.raises(CompileError, match="no more"):
                model.loss_and_gradients(tokens, targets)
        else:
            with pytest.raises(
                EvaluateError, match=r"of layer 1 is not .* its last upload_weights"
            ):
                model.loss_and_gradients(tokens, targets)
        left = 10**6
        model.upload_weights()
        model.zero_gradients()
        found = model.loss_and_gradients(tokens, targets), model.gradients.flat.tobytes()
    with make_model(case) as model:
        if not is_first:
            model.parameters["wq"][...] *= 0.5
        expected = model.loss_and_gradients(tokens, targets)
        assert found == (expected, model.gradients.flat.tobytes())


SMALL = """program(1.3) [buildInfo = dict<string, string>({})] {
  func main<ios18>(tensor<fp16, [1, 4]> x) { tensor<fp16, [1, 4]> y = relu(x = x)[name = string("y")]; } -> (y);
}"""


def test_timings_and_flops() -> None:
    case = golden.load("mha_tied")
    tokens, targets = case.tokens[0, :, :-1], case.targets[0]
    with make_model(case, weights_as="packed") as model:
        assert set(model.timings.values()) == {0.0}
        model.loss_and_gradients(tokens, targets)
        timings = model.timings
        for name in ("t_ane", "t_io", "t_cls", "t_elem", "t_rms", "t_cblas_wait"):
            assert timings[name] > 0, name
        assert timings["t_compile"] == 0
        model.loss_and_gradients(tokens, targets)
        assert model.timings["t_ane"] != timings["t_ane"]
    with make_model(case, pipeline="static") as model:
        model.loss_and_gradients(tokens, targets)
        model.upload_weights()
        assert model.timings["t_compile"] > 0


def test_flops_of_stories110m() -> None:
    """By hand, from the sizes; the report's M4 Max: 1.45 TFLOPS at 64 ms a step."""
    config = PRESETS["stories110m"]
    model = Model(config, Parameters(config), backend.device())
    ane, total = model.flops_per_step
    linear = 2 * 256 * 12 * (4 * 768 * 768 + 3 * 768 * 2048)
    attention = 12 * 12 * 2 * 256 * 256 * 64
    classifier = 2 * 256 * 768 * 32000
    assert ane == 2 * linear + 6 * attention
    assert total == 3 * linear + 6 * attention + 3 * classifier
    assert ane / 64e-3 / 1e12 == pytest.approx(1.45, abs=0.05)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pipeline": "fast"}, "pipeline must be one of dynamic, static, got 'fast'"),
        ({"weights_as": "blobs"}, "weights_as must be one of inputs, packed, got 'blobs'"),
        ({"cls": "gpu"}, "cls must be one of cpu, ane, got 'gpu'"),
    ],
)
def test_unknown_choices(options: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_model(golden.load("gqa_tied"), **options)


def test_a_device_may_be_named() -> None:
    config = PRESETS["stories260k"]
    model = create_model(config, Parameters(config), device="emulator")
    assert model.device is pyane.device("emulator")
    with pytest.raises(ConfigError, match="must be one of 'ane', 'emulator', got 'gpu'"):
        create_model(config, Parameters(config), device="gpu")


class ChipDevice:
    """The emulator under the name of a chip."""

    name = "emulator"

    def __init__(self, chip: str | None) -> None:
        self.emulation = SimpleNamespace(chip=chip or "")


@pytest.mark.parametrize(
    ("chip", "weights_as", "taps"),
    [
        (None, "inputs", "outputs"),
        ("m1", "inputs", "outputs"),  # slices from inside a row saturate
        ("m2", "inputs", "outputs"),
        ("m4max", "packed", "concat"),  # what upstream trained with
        ("m5", "packed", "concat"),
    ],
)
def test_layout_suits_the_chip(chip: str | None, weights_as: str, taps: str) -> None:
    options = choose_options(ChipDevice(chip))  # type: ignore[arg-type]
    assert (options.weights_as, options.taps) == (weights_as, taps)
    given = choose_options(ChipDevice(chip), weights_as="packed", taps=None)  # type: ignore[arg-type]
    assert (given.weights_as, given.taps) == ("packed", taps)
    with pytest.raises(ConfigError, match="no pipeline option 'weight_as'"):
        choose_options(ChipDevice(chip), weight_as="packed")  # type: ignore[arg-type]


def test_a_model_too_wide_to_be_packed_is_not() -> None:
    config = Config(
        dim=8, hidden_dim=9000, n_layers=1, n_heads=2, n_kv_heads=2, vocab_size=5, seq_len=4
    )
    parameters = Parameters(config)
    # W1 and W3 side by side are 18000 columns: M3 bears 16384, M4 65536.
    for chip, expected in (("m3", "inputs"), ("m4", "packed")):
        device: Any = ChipDevice(chip)
        assert create_model(config, parameters, device=device).options.weights_as == expected
        asked = create_model(config, parameters, device=device, weights_as="packed")
        assert asked.options.weights_as == "packed"  # told so: the device may say no


@pytest.mark.parametrize("pipeline", ["dynamic", "static"])
def test_a_closed_model_says_so(pipeline: str) -> None:
    case = golden.load(golden.NAMES[0])
    with make_model(case, pipeline=pipeline) as model:
        model.loss(case.tokens[0, :, :-1], case.targets[0])
    with pytest.raises(EvaluateError, match=r"has been unloaded|the model was closed"):
        model.loss(case.tokens[0, :, :-1], case.targets[0])
