"""From settings to a trainer that is ready to go: data, tokenizer, model and run folder."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import pyane

from .. import chips, llama
from ..errors import CheckpointError, ConfigError, DataError, Error, ShapeError
from ..llama.checkpoint import read as read_checkpoint
from ..llama.config_json import read_config
from .config import RESUMABLE, TrainConfig
from .data import Dataset, TokenArray, encode_text, open_token_file, read_text, split
from .files import check_readable
from .memory import check_memory
from .metrics import read_jsonl
from .run_folder import RunFolder, check_new, find_tokenizer
from .state import TrainingState, load_state
from .stories import story_text
from .tokenizer import Tokenizer, check_vocabulary, load_tokenizer, train_tokenizer
from .tokenizer_beside import tokenizer_beside, tokenizers_beside
from .trainer import Trainer
from .vocabulary import Vocabulary, occurring, write_vocabulary

# The built-in stories are the same for every --seed, so that held-out losses can be compared.
_STORY_SEED = 0

Note = Callable[[str], None]


@dataclasses.dataclass
class Session:
    """A run that is ready to train.

    Attributes:
        trainer: The loop.
        model: What it trains.
        dataset: Its data.
        tokenizer: None for token files that came without one.
        run: The locked run folder.
        device: Name of the device.
        vocabulary: The tokens that take part, when the vocabulary is compacted.
    """

    trainer: Trainer
    model: llama.Model
    dataset: Dataset
    tokenizer: Tokenizer | None
    run: RunFolder
    device: str
    vocabulary: Vocabulary | None = None

    def close(self) -> None:
        """Close files, unload the model and unlock the run folder. Idempotent.

        A run that failed before its first state was saved holds nothing: its folder is removed.
        """
        self.trainer.close()
        self.model.close()
        if not self.trainer.has_saved:
            self.run.discard()
        self.run.close()


def start(config: TrainConfig, run_dir: Path | None = None, note: Note = lambda _: None) -> Session:
    """Set up a new run. The run folder is made last: settings that fail leave nothing behind.

    Args:
        config: Settings.
        run_dir: New or empty folder; None: the next free `runs/<preset>-<n>`.
        note: Told in words what is going on.

    Raises:
        ConfigError: Settings that do not fit together.
        DataError: Data or tokenizer that cannot be used.
        CheckpointError: `init_from` cannot be read, or the run folder cannot be written.
        CompileError: The device refuses the model.
    """
    if run_dir is not None:
        check_new(run_dir)  # before minutes of work, not after
    config = _with_absolute_paths(config)
    _open_device(config)  # refused now, not after the data are ready
    first = read_checkpoint(Path(config.init_from))[1] if config.init_from else None
    if first is not None:
        _check_length(config, first.config)
    shape = first.config if first else _preset(config.preset)
    check_memory(config, shape)
    tokenizer = _given_tokenizer(config, first)
    tokens, tokenizer, source = _open_data(config, tokenizer, shape.vocab_size, note)
    if first is None:
        vocab_size = tokenizer.vocab_size if tokenizer else shape.vocab_size
        shape = dataclasses.replace(shape, vocab_size=vocab_size, seq_len=config.seq_len)
    dataset = split(tokens, config.seq_len, config.held_out_fraction, source)
    note(_describe(dataset, source))
    parameters = first or llama.Parameters(shape).init(np.random.default_rng(config.seed))
    vocabulary = None
    if config.compact_vocabulary:
        vocabulary = Vocabulary(_occurring(tokens, tokenizer), shape)
        parameters = vocabulary.compact(parameters)
        dataset = _renumbered(dataset, vocabulary)
        note(f"Vocabulary: {len(vocabulary.ids):,} of {shape.vocab_size:,} tokens occur")
    model, device = _build(config, parameters)
    run = (
        RunFolder.create(run_dir)
        if run_dir
        else RunFolder.create_next(Path("runs"), config.model_name)
    )
    try:
        if tokenizer is not None:
            _save_tokenizer(run, tokenizer)
        if vocabulary is not None:
            write_vocabulary(run.path, vocabulary)
        _write_config(run, config, parameters.config, dataset, device)
        trainer = Trainer(config, model, dataset, run, vocabulary=vocabulary)
    except BaseException:
        run.discard()
        run.close()
        raise
    return Session(trainer, model, dataset, tokenizer, run, device, vocabulary)


def resume(
    run_dir: Path,
    changes: Mapping[str, Any],
    note: Note = lambda _: None,
    *,
    accept_finished: bool = False,
) -> Session:
    """Set up a run to go on where its saved state is.

    Args:
        run_dir: Run folder.
        changes: Settings to change; only those in `RESUMABLE`.
        note: Told in words what is going on.
        accept_finished: A run whose steps are all done is no error: its trainer has nothing to do.

    Raises:
        ConfigError: A setting that cannot change in a run, or all steps are done.
        DataError: The data are missing or not those that the run began with.
        CheckpointError: No run folder, in use, or its state is corrupt.
    """
    for name in changes:
        if name not in RESUMABLE:
            flag = "--" + name.replace("_", "-")
            msg = f"{flag} cannot change in a run that is resumed; start a new one without --resume"
            raise ConfigError(msg)
    run = RunFolder.open(run_dir)
    try:
        return _resume(run, changes, note, accept_finished)
    except BaseException:
        run.close()
        raise


def _resume(
    run: RunFolder, changes: Mapping[str, Any], note: Note, accept_finished: bool
) -> Session:
    if not run.state.exists():
        msg = (
            f"{run.path}: the run ended before its first state was saved; remove the folder and "
            f"begin anew (its settings: pyane train --config {run.config})"
        )
        if any(record["step"] for record in _records(run.metrics)):
            msg = (
                f"{run.path}: state.bin is missing, without which nothing can be resumed; the weights "
                f"may still be there: start a new run with --init-from {run.model}"
            )
        raise CheckpointError(msg)
    state = load_state(run.state)
    config = TrainConfig.from_dict({**state.config, **changes})
    if not accept_finished or config.steps < state.step:
        _check_unfinished(run, state, config)
    parameters = _parameters_of(run, state)
    shape = _whole_shape(parameters.config, state)
    kept = find_tokenizer(run.path)
    tokenizer = load_tokenizer(kept) if kept else None
    if tokenizer is not None:
        check_vocabulary(tokenizer, shape.vocab_size, str(kept))
    _check_length(config, shape)
    tokens, tokenizer, source = _open_data(config, tokenizer, shape.vocab_size, note)
    dataset = split(tokens, config.seq_len, config.held_out_fraction, source)
    if dataset.hash != state.data_hash:
        msg = (
            f"{source}: the data are not those the run began with (SHA-256 of the tokens "
            f"{dataset.hash[:12]}, was {state.data_hash[:12]}). Restore them, or start a new run "
            f"with --init-from {run.path}"
        )
        raise DataError(msg)
    note(_describe(dataset, source))
    vocabulary = None
    if config.compact_vocabulary:
        vocabulary = Vocabulary(_occurring(tokens, tokenizer), shape, state.unused_rows)
        dataset = _renumbered(dataset, vocabulary)
    model, device = _build(config, parameters)
    trainer = Trainer(config, model, dataset, run, state, vocabulary)
    _write_config(run, config, parameters.config, dataset, device)
    note(f"Going on after step {state.step}")
    return Session(trainer, model, dataset, tokenizer, run, device, vocabulary)


def _records(metrics: Path) -> list[dict[str, Any]]:
    return [r for r in read_jsonl(metrics) if "step" in r] if metrics.is_file() else []


def _check_unfinished(run: RunFolder, state: TrainingState, config: TrainConfig) -> None:
    if state.pending is not None:
        return  # the last step still has to be evaluated
    if state.step >= config.steps:
        msg = (
            f"{run.path}: all {state.step} steps are done; to go on: "
            f"pyane train --resume {run.path} --steps N, with N above {state.step}"
        )
        raise ConfigError(msg)
    if 0 < config.patience <= state.evaluations_since_best:
        msg = (
            f"{run.path}: stopped early, {state.evaluations_since_best} evaluations after the best "
            f"held-out loss; to go on: pyane train --resume {run.path} --patience N, with N above "
            f"{state.evaluations_since_best} or 0"
        )
        raise ConfigError(msg)


def _whole_shape(shape: llama.Config, state: TrainingState) -> llama.Config:
    """Sizes of the model before its vocabulary was compacted."""
    n_tables = 1 if shape.tied_classifier else 2
    n_unused = state.unused_rows.size // (shape.dim * n_tables)
    return dataclasses.replace(shape, vocab_size=shape.vocab_size + n_unused)


def _occurring(tokens: TokenArray, tokenizer: Tokenizer | None) -> list[int]:
    special = (tokenizer.bos_id, tokenizer.eos_id) if tokenizer else ()
    return occurring(tokens, special)


def _renumbered(dataset: Dataset, vocabulary: Vocabulary) -> Dataset:
    """The same data (and hash) with the tokens of the compacted model."""
    train, held_out = (vocabulary.renumber(part) for part in (dataset.train, dataset.held_out))
    return dataclasses.replace(dataset, train=train, held_out=held_out)


def load_model(path: Path) -> tuple[llama.Config, llama.Parameters, Path | None]:
    """Weights of a run folder or a checkpoint of any kind, and the tokenizer beside them, if any.

    Of several tokenizers that is the first that fits, or, when none does, the first.

    Raises:
        CheckpointError: Missing, or not a checkpoint.
    """
    config, parameters = read_checkpoint(path)
    try:
        beside = tokenizer_beside(path, config.vocab_size)
    except Error:  # of a tokenizer: who wants it will meet that
        return config, parameters, tokenizers_beside(path)[0]
    return config, parameters, beside[0] if beside else None


def preset_for(weights: Path) -> str:
    """The preset whose training settings suit weights: that of the nearest width.

    A learning rate for narrow models destroys the weights of a wide one within a few steps.

    Raises:
        CheckpointError: Missing, or not a checkpoint.
    """
    dim = read_checkpoint(weights)[0].dim
    return min(llama.PRESETS, key=lambda name: abs(math.log(llama.PRESETS[name].dim / dim)))


def _with_absolute_paths(config: TrainConfig) -> TrainConfig:
    """So that a run can be resumed from another working directory."""
    settings = config.to_dict()
    names = ["data", "tokenizer", "init_from"]
    names += ["preset"] if config.preset.endswith(".json") else []
    for name in names:
        if settings[name] is not None:
            settings[name] = str(Path(settings[name]).absolute())
    return TrainConfig.from_dict(settings)


def _preset(name: str) -> llama.Config:
    if name.endswith(".json"):
        check_readable(Path(name), "--preset")
        return read_config(name)
    if name not in llama.PRESETS:
        names = ", ".join(llama.PRESETS)
        msg = f"--preset must be one of {names}, or a .json file of sizes, got {name}"
        raise ConfigError(msg)
    return llama.PRESETS[name]


def _given_tokenizer(config: TrainConfig, first: llama.Parameters | None) -> Tokenizer | None:
    """The one that was named, or that belongs to the first weights. Before the data: those take time."""
    if config.tokenizer is not None:
        tokenizer = load_tokenizer(Path(config.tokenizer))
        if first is not None:
            source = f"--tokenizer {config.tokenizer}"
            check_vocabulary(tokenizer, first.config.vocab_size, source)
        return tokenizer
    if first is None or config.init_from is None:
        return None
    # Weights mean nothing without the vocabulary they were trained with.
    beside = tokenizer_beside(Path(config.init_from), first.config.vocab_size)
    if beside is None and _is_text(config):
        msg = (
            f"--init-from {config.init_from}: has no tokenizer beside it; "
            "name the one it was trained with: --tokenizer FILE"
        )
        raise ConfigError(msg)
    return beside[1] if beside else None


def _is_text(config: TrainConfig) -> bool:
    return config.data is None or not config.data.endswith(".bin")


def _open_data(
    config: TrainConfig, tokenizer: Tokenizer | None, vocab_size: int, note: Note
) -> tuple[TokenArray, Tokenizer | None, str]:
    """Tokens, the tokenizer (trained here when needed) and the data's name for messages."""
    if config.data is not None and not _is_text(config):
        limit = tokenizer.vocab_size if tokenizer else vocab_size
        sha256 = tokenizer.sha256 if tokenizer else None
        return open_token_file(Path(config.data), limit, sha256), tokenizer, config.data
    if config.data is None:
        note(f"Writing {config.story_bytes / 1e6:.1f} MB of stories")
        text, source = story_text(config.story_bytes, _STORY_SEED), "built-in stories"
    else:
        text, source = read_text(Path(config.data)), config.data
    if tokenizer is None:
        note(f"Training a tokenizer of {vocab_size} tokens")
        tokenizer = train_tokenizer(text, vocab_size)
    return encode_text(text, tokenizer), tokenizer, source


def _check_length(config: TrainConfig, shape: llama.Config) -> None:
    if config.seq_len > shape.seq_len:
        msg = f"--seq-len must be at most {shape.seq_len}, the model's, got {config.seq_len}"
        raise ConfigError(msg)


def _describe(dataset: Dataset, source: str) -> str:
    n = len(dataset.train) + len(dataset.held_out)
    return f"Data: {source}, {n:,} tokens, {len(dataset.held_out):,} of them held out"


def _build(config: TrainConfig, parameters: llama.Parameters) -> tuple[llama.Model, str]:
    """The model on its device, and the device's name. Compiles nothing yet."""
    if config.threads is not None:
        pyane.set_num_threads(config.threads)
    device = _open_device(config)
    model = llama.create_model(
        parameters.config,
        parameters,
        device=device,
        batch=config.batch_size,
        seq_len=config.seq_len,
        pipeline=config.pipeline,
        weights_as=config.weights_as,
        blobs=config.blobs,
        taps=config.taps,
        cls=config.cls,
        rmsnorm_backward=config.rmsnorm_backward,
    )
    return model, str(device)


def _open_device(config: TrainConfig) -> pyane.Device:
    if config.chip is not None:
        chips.find(config.chip)  # an unknown one is an error, whatever it is for
    if config.numerics == "ieee":  # The chip then only says what efficiency is measured against.
        return pyane.device(config.device)
    return pyane.device(config.device or "emulator", chip=config.chip, numerics=config.numerics)


def _parameters_of(run: RunFolder, state: TrainingState) -> llama.Parameters:
    try:
        return llama.Parameters(llama.Config(**state.model), state.parameters)
    except (ConfigError, ShapeError, TypeError) as e:
        msg = f"{run.state}: training state describes no model ({e})"
        raise CheckpointError(msg) from e


def _save_tokenizer(run: RunFolder, tokenizer: Tokenizer) -> None:
    path = run.path / tokenizer.file_name
    try:
        tokenizer.save(path)
    except OSError as e:
        msg = f"{path}: could not be written ({e.strerror or e})"
        raise CheckpointError(msg) from e


def _write_config(
    run: RunFolder, config: TrainConfig, shape: llama.Config, dataset: Dataset, device: str
) -> None:
    run.write_config(
        {
            "pyane": pyane.__version__,
            "device": device,
            "train": config.to_dict(),
            "model": dataclasses.asdict(shape),
            "n_parameters": shape.n_parameters,
            "data": {
                "sha256": dataset.hash,
                "train_tokens": len(dataset.train),
                "held_out_tokens": len(dataset.held_out),
            },
        }
    )
