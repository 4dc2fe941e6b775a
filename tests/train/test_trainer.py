"""The training loop on a fake model; the real one is trained in test_session.py."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from fake_model import CONFIG, FakeModel
from pyane import llama
from pyane.errors import CheckpointError, CompileBudgetError, DivergenceError
from pyane.train.config import TrainConfig
from pyane.train.data import Dataset, split
from pyane.train.metrics import read_jsonl
from pyane.train.optimizer import decayed_ranges
from pyane.train.run_folder import RunFolder
from pyane.train.state import load_state
from pyane.train.trainer import StepReport, Trainer

SETTINGS = TrainConfig(
    steps=24,
    batch_size=2,
    seq_len=16,
    learning_rate=0.05,
    warmup_steps=4,
    eval_every=8,
    save_every=5,
    loss_scale=4096.0,
)


def dataset() -> Dataset:
    rng = np.random.default_rng(0)
    # Every token is followed by one of two: there is something to learn.
    tokens = np.cumsum(rng.integers(1, 3, 3000)) % CONFIG.vocab_size
    return split(tokens.astype(np.uint16), 16, 0.1, "tokens")


def trainer(
    path: Path, config: TrainConfig = SETTINGS, model: FakeModel | None = None
) -> tuple[Trainer, FakeModel]:
    model = model or FakeModel()
    return Trainer(config, model, dataset(), RunFolder.create(path)), model


def resumed(path: Path, config: TrainConfig = SETTINGS) -> tuple[Trainer, FakeModel]:
    model = FakeModel(seed=99)
    run = RunFolder(path, -1)
    return Trainer(config, model, dataset(), run, load_state(run.state)), model


def train(path: Path, config: TrainConfig = SETTINGS, model: FakeModel | None = None) -> FakeModel:
    t, model = trainer(path, config, model)
    assert t.train()
    t.run.close()
    return model


def changed(**settings: object) -> TrainConfig:
    return TrainConfig.from_dict({**SETTINGS.to_dict(), **settings})


def test_loss_falls_and_reports_tell(tmp_path: Path) -> None:
    t, model = trainer(tmp_path / "run", changed(steps=100))
    reports: list[StepReport] = []
    assert t.train(reports.append)
    assert [r.step for r in reports] == list(range(101))
    assert reports[0].held_out_loss == pytest.approx(math.log(300), abs=0.01)
    assert math.isnan(reports[0].loss)
    assert reports[-1].held_out_loss == t.held_out_loss
    assert t.held_out_loss is not None
    assert t.held_out_loss < 5  # from 5.7
    assert [r.step for r in reports if r.held_out_loss] == [*range(0, 97, 8), 100]
    assert reports[-1].tokens == 100 * 2 * 16
    assert model.uploads == 101  # before the first step, and after each


def test_run_folder_holds_everything(tmp_path: Path) -> None:
    model = train(tmp_path / "run")
    records = read_jsonl(tmp_path / "run" / "metrics.jsonl")
    assert [r["step"] for r in records] == list(range(25))
    assert set(records[1]) == {
        "step", "tokens", "loss", "learning_rate", "gradient_norm", "loss_scale", "skipped"
    }  # fmt: skip
    assert "held_out_loss" in records[24]
    timing = read_jsonl(tmp_path / "run" / "timing.jsonl")
    assert [r["step"] for r in timing] == list(range(25))
    config, parameters = llama.checkpoint.read_llama2c(tmp_path / "run" / "model.bin")
    assert config == CONFIG
    np.testing.assert_array_equal(parameters.flat, model.parameters.flat)
    state = load_state(tmp_path / "run" / "state.bin")
    assert state.step == 24
    np.testing.assert_array_equal(state.parameters, model.parameters.flat)


def test_same_seed_same_metrics(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(tmp_path / name, changed(seed=seed))
    a, b, c = ((tmp_path / n / "metrics.jsonl").read_bytes() for n in "abc")
    assert a == b
    assert a != c


class Killed(BaseException):
    """Nothing in the trainer may catch it, as nothing catches SIGKILL."""


@pytest.mark.parametrize("last", [0, 1, 4, 5, 6, 13, 23])
def test_resume_is_exact_from_anywhere(tmp_path: Path, last: int) -> None:
    whole = train(tmp_path / "whole")

    def kill(report: StepReport) -> None:
        if report.step == last:
            raise Killed

    t, _ = trainer(tmp_path / "killed")
    with pytest.raises(Killed):
        t.train(kill)
    t.run.close()
    t, model = resumed(tmp_path / "killed")
    assert t.step == last // 5 * 5
    assert t.train()
    np.testing.assert_array_equal(model.parameters.flat, whole.parameters.flat)
    for name in ("metrics.jsonl", "model.bin"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    a, b = (load_state(tmp_path / n / "state.bin") for n in ("whole", "killed"))
    np.testing.assert_array_equal(a.m, b.m)
    np.testing.assert_array_equal(a.v, b.v)


def test_stop_saves_the_step_it_is_in(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole")
    t, _ = trainer(tmp_path / "stopped")
    assert not t.train(lambda r: t.request_stop() if r.step == 7 else None)
    t.run.close()
    assert load_state(tmp_path / "stopped" / "state.bin").step == 7
    t, model = resumed(tmp_path / "stopped")
    assert t.step == 7
    assert t.train()
    np.testing.assert_array_equal(model.parameters.flat, whole.parameters.flat)
    metrics = [(tmp_path / n / "metrics.jsonl").read_bytes() for n in ("stopped", "whole")]
    assert metrics[0] == metrics[1]


def test_stop_before_the_first_step(tmp_path: Path) -> None:
    t, _ = trainer(tmp_path / "run")
    t.request_stop()
    assert not t.train()
    assert load_state(tmp_path / "run" / "state.bin").step == 0


def test_accumulation_equals_a_larger_batch(tmp_path: Path) -> None:
    one = train(tmp_path / "one", changed(batch_size=4, weight_decay=0.0))
    two = train(tmp_path / "two", changed(batch_size=2, accumulation=2, weight_decay=0.0))
    # The same sequences, summed in another order: fp32 rounding through 24 steps.
    np.testing.assert_allclose(two.parameters.flat, one.parameters.flat, atol=2e-4)
    a, b = (read_jsonl(tmp_path / n / "metrics.jsonl") for n in ("one", "two"))
    assert [r["loss"] for r in a[1:]] == pytest.approx([r["loss"] for r in b[1:]], rel=1e-4)


def adam(tmp_path: Path, steps: int, **settings: float) -> tuple[np.ndarray, np.ndarray]:
    """Weights after some steps: by the trainer, and by the formula in fp64."""
    config = changed(steps=steps, eval_every=0, save_every=0, **settings)
    model = FakeModel()
    reference = FakeModel()
    decayed = np.zeros(model.parameters.flat.size)
    for begin, end in decayed_ranges(model.parameters):
        decayed[begin:end] = 1
    t, _ = trainer(tmp_path / "run", config, model)
    reports: list[StepReport] = []
    gradients: list[np.ndarray] = []
    original = model.loss_and_gradients

    def watch(*args: object, **kwargs: object) -> float:
        loss = original(*args, **kwargs)  # type: ignore[arg-type]
        gradients.append(model.gradients.flat.astype(np.float64))
        return loss

    model.loss_and_gradients = watch  # type: ignore[method-assign]
    t.train(reports.append)
    w = reference.parameters.flat.astype(np.float64)
    m, v = np.zeros_like(w), np.zeros_like(w)
    for i, g in enumerate(gradients, 1):
        norm = np.sqrt((g * g).sum())
        assert reports[i].gradient_norm == pytest.approx(norm, rel=1e-6)
        if config.clip_norm and norm > config.clip_norm:
            g = g * config.clip_norm / norm  # noqa: PLW2901
        m = config.beta1 * m + (1 - config.beta1) * g
        v = config.beta2 * v + (1 - config.beta2) * g * g
        mhat, vhat = m / (1 - config.beta1**i), v / (1 - config.beta2**i)
        rate = reports[i].learning_rate
        w -= rate * (mhat / (np.sqrt(vhat) + config.epsilon) + config.weight_decay * decayed * w)
    return model.parameters.flat, w


@pytest.mark.parametrize("clip", [0.0, 0.01, 100.0])
def test_update_is_adamw_with_clipping(tmp_path: Path, clip: float) -> None:
    actual, expected = adam(tmp_path, 5, clip_norm=clip, weight_decay=0.3)
    # Adam divides by sqrt(v): where a gradient is rounding noise, so is the step. 5 steps of at
    # most the learning rate, each to fp32's precision times a few operations.
    np.testing.assert_allclose(actual, expected, atol=5 * 0.05 * 1e-4)


def test_norm_weights_do_not_decay(tmp_path: Path) -> None:
    config = changed(weight_decay=0.5)
    model = train(tmp_path / "run", config)
    # The fake has no norms, so nothing but decay could move them.
    for name in ("rms_att_weight", "rms_ffn_weight", "rms_final_weight"):
        assert (model.parameters[name] == 1).all()
    before = FakeModel().parameters["wq"]
    assert (np.abs(model.parameters["wq"]) < np.abs(before)).all()


def test_decayed_ranges_are_merged() -> None:
    parameters = llama.Parameters(CONFIG)
    for begin, end in decayed_ranges(parameters):
        parameters.flat[begin:end] = 1
    for name, view in parameters.items():
        assert (view == (not name.startswith("rms_"))).all()
    assert len(decayed_ranges(parameters)) == 4


# The best weights, and stopping early


def scripted(model: FakeModel, losses: list[float]) -> FakeModel:
    """The model, with these losses on the one held-out batch instead of its own."""
    remaining = iter(losses)
    model.loss = lambda *_: next(remaining)  # type: ignore[method-assign]
    return model


ONE_BATCH = changed(eval_every=2, eval_sequences=1, save_every=5)


def test_best_weights_are_kept(tmp_path: Path) -> None:
    model = scripted(FakeModel(), [5.0, 4.0, 3.0, 3.0, 3.5, 2.0, 9.0])
    t, _ = trainer(tmp_path / "run", changed(steps=12, eval_every=2, eval_sequences=1), model)
    copies: dict[int, np.ndarray] = {}
    reports: list[StepReport] = []

    def watch(report: StepReport) -> None:
        copies[report.step] = model.parameters.flat.copy()
        reports.append(report)

    assert t.train(watch)
    assert t.best == (2.0, 10)
    assert not t.stopped_early
    _, best = llama.checkpoint.read_llama2c(tmp_path / "run" / "best.bin")
    np.testing.assert_array_equal(best.flat, copies[10])
    assert [reports[i].best_loss for i in (0, 2, 4, 8, 10, 12)] == [5, 4, 3, 3, 2, 2]


def test_no_best_weights_when_nothing_got_better(tmp_path: Path) -> None:
    model = scripted(FakeModel(), [1.0, 4.0, 3.0])
    t, _ = trainer(tmp_path / "run", changed(steps=4, eval_every=2, eval_sequences=1), model)
    assert t.train()
    assert t.best == (1.0, 0)
    assert not (tmp_path / "run" / "best.bin").exists()


def test_patience_stops_early_and_survives_interruptions(tmp_path: Path) -> None:
    losses = [5.0, 4.0, 4.1, 3.9, 3.95, 3.9, 4.2, 1.0]
    config = changed(steps=100, eval_every=2, eval_sequences=1, patience=3)
    t, _ = trainer(tmp_path / "run", config, scripted(FakeModel(), losses))
    assert t.train()
    assert (t.step, t.stopped_early, t.best) == (12, True, (3.9, 6))
    t.run.close()

    broken, _ = trainer(tmp_path / "broken", config, scripted(FakeModel(), losses[:4]))
    assert not broken.train(lambda r: broken.request_stop() if r.step == 7 else None)
    broken.run.close()
    model = scripted(FakeModel(seed=99), losses[4:])
    run = RunFolder(tmp_path / "broken", -1)
    again = Trainer(config, model, dataset(), run, load_state(run.state))
    assert again.train()
    assert (again.step, again.stopped_early, again.best) == (12, True, (3.9, 6))
    for name in ("metrics.jsonl", "best.bin", "state.bin"):
        assert (tmp_path / "broken" / name).read_bytes() == (tmp_path / "run" / name).read_bytes()


def test_held_out_loss_that_is_not_finite_stops(tmp_path: Path) -> None:
    model = scripted(FakeModel(), [5.0, math.nan])
    t, _ = trainer(tmp_path / "run", ONE_BATCH, model)
    with pytest.raises(
        DivergenceError, match=r"at step 2: the held-out loss became nan.*step 0 is"
    ):
        t.train()


# A limited number of compilations


class BudgetedModel(FakeModel):
    """Compiles when weights are uploaded, as the static pipeline does, and may do so N times."""

    def __init__(self, budget: int, seed: int = 0) -> None:
        super().__init__(seed=seed)
        self.budget = budget

    def upload_weights(self) -> None:
        if self.uploads == self.budget:
            msg = "the process may compile no more"
            raise CompileBudgetError(msg)
        super().upload_weights()


@pytest.mark.parametrize("budget", [1, 2, 3, 7])
def test_spent_compile_budget_goes_on_in_another_process(tmp_path: Path, budget: int) -> None:
    config = changed(pipeline="static")
    whole = train(tmp_path / "whole", config)
    path = tmp_path / "run"
    t, model = trainer(path, config, BudgetedModel(budget))
    processes, reports = 1, []
    while True:
        try:
            assert t.train(reports.append)
            break
        except CompileBudgetError:
            processes += 1
        run = RunFolder(path, -1)
        model = BudgetedModel(budget, seed=processes)
        t = Trainer(config, model, dataset(), run, load_state(run.state))
    assert processes == -(-25 // budget)  # an upload before each step, and one for the evaluation
    assert [r.step for r in reports] == list(range(25))
    assert reports[8].held_out_loss is not None
    assert [len(r.micro_batches) for r in reports] == [0] + [1] * 24
    assert all(r.micro_batches[0].loss == r.loss for r in reports[1:])
    np.testing.assert_array_equal(model.parameters.flat, whole.parameters.flat)
    for name in ("metrics.jsonl", "model.bin", "state.bin", "best.bin"):
        assert (path / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_budget_too_small_to_begin(tmp_path: Path) -> None:
    t, _ = trainer(tmp_path / "run", changed(pipeline="static"), BudgetedModel(0))
    with pytest.raises(CompileBudgetError, match="may compile no more"):
        t.train()
    assert not t.has_saved


# Overflow and divergence


def test_overflow_skips_the_step_and_halves_the_scale(tmp_path: Path) -> None:
    model = FakeModel()
    model.overflow_at = frozenset({3, 4})
    train(tmp_path / "run", SETTINGS, model)
    records = read_jsonl(tmp_path / "run" / "metrics.jsonl")
    assert [r["skipped"] for r in records[1:7]] == [0, 0, 0, 1, 2, 2]
    assert [r["loss_scale"] for r in records[1:7]] == [4096, 4096, 4096, 4096, 2048, 1024]
    assert records[4]["gradient_norm"] is None
    assert load_state(tmp_path / "run" / "state.bin").skipped == 2
    assert model.uploads == 1 + 24 - 2


def test_skipped_steps_do_not_count_in_adams_bias_correction(tmp_path: Path) -> None:
    model = FakeModel()
    model.overflow_at = frozenset({0, 1, 2})
    before = model.parameters["wcls"].copy()
    config = changed(steps=4, weight_decay=0.0, schedule="constant", warmup_steps=0)
    train(tmp_path / "run", config, model)
    # Adam's first update is the learning rate by the gradient's sign, but for epsilon beside gradients
    # of 1e-5 and more; counted as the fourth, it would be 0.58 of it.
    moved = np.abs(model.parameters["wcls"] - before)
    assert moved.max() == pytest.approx(config.learning_rate, rel=1e-3)


def test_operations_of_a_step_are_those_of_its_micro_batches(tmp_path: Path) -> None:
    model = FakeModel()
    model.flops_per_step = (5.0, 8.0)  # type: ignore[attr-defined]
    t, _ = trainer(tmp_path / "run", changed(steps=1, accumulation=3), model)
    reports: list[StepReport] = []
    t.train(reports.append)
    assert (reports[1].ane_flops, reports[1].total_flops) == (15, 24)


def test_infinite_gradients_count_as_overflow(tmp_path: Path) -> None:
    model = FakeModel()
    original = model.loss_and_gradients

    def infinite_once(*args: object, **kwargs: object) -> float:
        loss = original(*args, **kwargs)  # type: ignore[arg-type]
        if model.calls == 2:
            model.gradients.flat[5] = np.inf
        return loss

    model.loss_and_gradients = infinite_once  # type: ignore[method-assign]
    train(tmp_path / "run", SETTINGS, model)
    assert np.isfinite(model.parameters.flat).all()
    assert load_state(tmp_path / "run" / "state.bin").skipped == 1


def test_resume_after_overflow_is_exact(tmp_path: Path) -> None:
    def overflowing() -> FakeModel:
        model = FakeModel()
        model.overflow_at = frozenset({3})
        return model

    whole = train(tmp_path / "whole", SETTINGS, overflowing())
    t, _ = trainer(tmp_path / "broken", SETTINGS, overflowing())
    t.train(lambda r: t.request_stop() if r.step == 11 else None)
    t, model = resumed(tmp_path / "broken")
    t.train()
    np.testing.assert_array_equal(model.parameters.flat, whole.parameters.flat)


def test_nan_loss_stops_and_keeps_the_last_state(tmp_path: Path) -> None:
    model = FakeModel()
    model.nan_at = frozenset({12})
    t, _ = trainer(tmp_path / "run", SETTINGS, model)
    with pytest.raises(
        DivergenceError,
        match=r"diverged at step 13: the loss became nan. The state of step 10 is kept in .*run; "
        r".* lower --learning-rate",
    ):
        t.train()
    assert load_state(tmp_path / "run" / "state.bin").step == 10
    records = read_jsonl(tmp_path / "run" / "metrics.jsonl")
    assert records[-1]["step"] == 12


def test_bad_weights_are_not_saved(tmp_path: Path) -> None:
    t, model = trainer(tmp_path / "run")

    def poison(report: StepReport) -> None:
        if report.step == 6:
            model.parameters["wq"][...] = np.inf  # unused by the fake: the loss stays finite

    with pytest.raises(DivergenceError, match="step 8: the weights are no longer finite"):
        t.train(poison)
    assert load_state(tmp_path / "run" / "state.bin").step == 5


def test_endless_overflow_stops(tmp_path: Path) -> None:
    model = FakeModel()
    model.overflow_at = frozenset(range(100))
    t, _ = trainer(tmp_path / "run", SETTINGS, model)
    with pytest.raises(DivergenceError, match="step 13: gradients overflow even at loss scale 1"):
        t.train()


# Files


def test_full_disk_stops_and_keeps_the_last_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    t, _ = trainer(tmp_path / "run")

    def fill(report: StepReport) -> None:
        if report.step == 7:

            def full(*_: object) -> None:
                raise OSError(28, "No space left on device")

            monkeypatch.setattr("pyane.atomic_file.os.fsync", full)

    with pytest.raises(CheckpointError, match="No space left on device"):
        t.train(fill)
    monkeypatch.undo()
    assert load_state(tmp_path / "run" / "state.bin").step == 5
    assert not list((tmp_path / "run").glob(".*"))
    t, model = resumed(tmp_path / "run")
    assert t.train()
    whole = train(tmp_path / "whole")
    np.testing.assert_array_equal(model.parameters.flat, whole.parameters.flat)


def test_state_of_another_model(tmp_path: Path) -> None:
    train(tmp_path / "run")
    other = FakeModel(llama.Config(**{**CONFIG.__dict__, "dim": 16}))
    run = RunFolder(tmp_path / "run", -1)
    with pytest.raises(
        CheckpointError, match=r"state is of a model with \d+ parameters, the model has"
    ):
        Trainer(SETTINGS, other, dataset(), run, load_state(run.state))


def test_metrics_are_json(tmp_path: Path) -> None:
    train(tmp_path / "run")
    for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)
