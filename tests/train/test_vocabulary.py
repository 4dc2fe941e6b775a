"""Compacted vocabularies: exact, reversible, and the same in a resumed run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyane import llama, train
from pyane.errors import CheckpointError, ShapeError
from pyane.train.generate import generate
from pyane.train.state import load_state
from pyane.train.vocabulary import Vocabulary, occurring, read_vocabulary, write_vocabulary

WHOLE = llama.Config(
    dim=16, hidden_dim=24, n_layers=2, n_heads=2, n_kv_heads=1, vocab_size=97, seq_len=16
)
IDS = [1, 2, 5, 30, 31, 64, 96]


def whole(tied: bool) -> llama.Parameters:
    config = llama.Config(**{**WHOLE.__dict__, "tied_classifier": tied})
    return llama.Parameters(config).init(np.random.default_rng(0))


@pytest.mark.parametrize("tied", [True, False])
def test_expand_is_the_inverse_of_compact(tied: bool) -> None:
    parameters = whole(tied)
    vocabulary = Vocabulary(IDS, parameters.config)
    compact = vocabulary.compact(parameters)
    assert compact.config.vocab_size == 7
    np.testing.assert_array_equal(
        compact["token_embedding_table"], parameters["token_embedding_table"][IDS]
    )
    np.testing.assert_array_equal(vocabulary.expand(compact).flat, parameters.flat)

    compact.flat += 1.0
    expanded = vocabulary.expand(compact)
    others = np.setdiff1d(np.arange(97), IDS)
    for name, view in expanded.items():
        if name in ("token_embedding_table", "wcls"):
            np.testing.assert_array_equal(view[IDS], parameters[name][IDS] + np.float32(1))
            np.testing.assert_array_equal(view[others], parameters[name][others])
        else:
            np.testing.assert_array_equal(view, parameters[name] + np.float32(1))


def test_vocabulary_of_all_tokens_changes_nothing() -> None:
    parameters = whole(tied=True)
    vocabulary = Vocabulary(range(97), parameters.config)
    assert vocabulary.unused_rows.size == 0
    np.testing.assert_array_equal(vocabulary.compact(parameters).flat, parameters.flat)


def test_tokens_are_renumbered(rng: np.random.Generator) -> None:
    vocabulary = Vocabulary(reversed(IDS), WHOLE)
    tokens = rng.choice(IDS, 1000).astype(np.uint16)
    numbers = vocabulary.renumber(tokens)
    assert numbers.dtype == np.uint16
    np.testing.assert_array_equal(vocabulary.ids[numbers], tokens)
    tokens[17] = 6
    with pytest.raises(ShapeError, match="token 6 at position 17 does not take part"):
        vocabulary.renumber(tokens)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32])
def test_occurring(dtype: type) -> None:
    tokens = np.array([5, 5, 31, 2, 5], dtype)
    assert occurring(tokens, (1, -1, 96)) == [1, 2, 5, 31, 96]


def test_vocabularies_that_do_not_fit() -> None:
    with pytest.raises(ShapeError, match=r"ids must be in \[0, 97\), got \[1, 97\]"):
        Vocabulary([1, 97], WHOLE)
    with pytest.raises(ShapeError, match="got none"):
        Vocabulary([], WHOLE)
    with pytest.raises(CheckpointError, match="1440 numbers are needed for the 90 tokens"):
        Vocabulary(IDS, WHOLE, np.zeros(3, np.float32))


@pytest.mark.parametrize("tied", [True, False])
def test_losses_are_those_of_a_softmax_over_the_occurring_tokens(
    rng: np.random.Generator, tied: bool
) -> None:
    parameters = whole(tied)
    vocabulary = Vocabulary(IDS, parameters.config)
    tokens = rng.choice(IDS, (2, 17))
    with llama.Model(parameters.config, parameters, batch=2) as model:
        logits = model.logits(tokens[:, :-1]).astype(np.float64)[:, :, IDS]
    chosen = np.searchsorted(IDS, tokens[:, 1:])
    log_sum = np.log(np.exp(logits).sum(-1))
    expected = (log_sum - np.take_along_axis(logits, chosen[:, :, None], 2)[:, :, 0]).mean()

    compact = vocabulary.compact(parameters)
    numbers = vocabulary.renumber(tokens)
    with llama.Model(compact.config, compact, batch=2) as model:
        actual = model.loss(numbers[:, :-1], numbers[:, 1:])
    # Same embeddings, same layers: the same fp16 stream, bit for bit. What is left is the fp32
    # classifier (16 products) and softmax (7 terms) against their fp64 selves: a few ulp of 2.
    assert actual == pytest.approx(expected, abs=40 * float(np.finfo(np.float32).eps))


def test_list_of_tokens_is_kept(tmp_path: Path) -> None:
    assert read_vocabulary(tmp_path, 97) is None
    write_vocabulary(tmp_path, Vocabulary(IDS, WHOLE))
    np.testing.assert_array_equal(read_vocabulary(tmp_path, 97), IDS)
    with pytest.raises(CheckpointError, match="must list tokens of 512, got 7 of 97"):
        read_vocabulary(tmp_path, 512)


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", '{"vocab_size": 97}', '{"vocab_size": 97, "tokens": []}',
        '{"vocab_size": 97, "tokens": [97]}', '{"vocab_size": 97, "tokens": [-1]}',
        '{"vocab_size": 97, "tokens": [[1], [2]]}', '{"vocab_size": 97, "tokens": ["x"]}',
        '{"vocab_size": 97, "tokens": [[1], [2, 3]]}', '{"vocab_size": "x", "tokens": [1]}',
        '{"vocab_size": 97, "tokens": [1e400]}', "[" * 100_000, "\udcff",
    ],
)  # fmt: skip
def test_damaged_lists_of_tokens(tmp_path: Path, text: str) -> None:
    (tmp_path / "vocabulary.json").write_text(text, errors="surrogateescape")
    with pytest.raises(CheckpointError, match=r"vocabulary\.json: "):
        read_vocabulary(tmp_path, 97)


def test_generation_keeps_to_the_tokens_that_take_part(token_file: Path, tmp_path: Path) -> None:
    session = start(token_file, tmp_path / "run", steps=1)
    session.trainer.train()
    session.close()
    config, parameters, _ = train.load_model(tmp_path / "run")
    allowed = read_vocabulary(tmp_path / "run", 512)
    with llama.Model(config, parameters) as model:
        args = {"context": 16, "temperature": 1.0, "seed": 1}
        # After one step all tokens are about equally likely.
        ids = list(generate(model, [100], 30, allowed=allowed, **args))
        assert set(ids) <= set(range(100, 300, 5))
        assert len(set(ids)) > 5
        assert not set(generate(model, [100], 30, **args)) <= set(range(100, 300, 5))


SMALL: dict[str, Any] = {
    "steps": 6,
    "batch_size": 1,
    "seq_len": 16,
    "eval_sequences": 2,
    "eval_every": 2,
    "save_every": 2,
    "device": "emulator",
    "compact_vocabulary": True,
    "weight_decay": 0.5,
}


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    """Tokens of the 512 of stories260k of which only 40 occur."""
    tokens = np.random.default_rng(3).choice(np.arange(100, 300, 5), 3000).astype("<u2")
    tokens.tofile(tmp_path / "tokens.bin")
    return tmp_path / "tokens.bin"


def start(token_file: Path, path: Path, **settings: Any) -> train.Session:
    config = train.TrainConfig.from_dict({**SMALL, "data": str(token_file), **settings})
    return train.start(config, path)


def test_run_is_saved_whole(token_file: Path, tmp_path: Path) -> None:
    session = start(token_file, tmp_path / "run")
    assert session.model.config.vocab_size == 40
    assert session.trainer.train()
    session.close()
    config, parameters, _ = train.load_model(tmp_path / "run")
    assert config.vocab_size == 512
    first = llama.Parameters(config).init(np.random.default_rng(0))
    used = np.arange(100, 300, 5)
    same = (parameters["token_embedding_table"] == first["token_embedding_table"]).all(1)
    assert not same[used].any()
    assert same.sum() == 512 - 40  # no decay either
    state = load_state(tmp_path / "run" / "state.bin")
    np.testing.assert_array_equal(
        state.parameters[: 40 * 64].reshape(40, 64), parameters["token_embedding_table"][used]
    )


def test_resume_is_exact(token_file: Path, tmp_path: Path) -> None:
    whole_run = start(token_file, tmp_path / "whole")
    assert whole_run.trainer.train()
    whole_run.close()
    session = start(token_file, tmp_path / "broken")
    session.trainer.train(lambda r: session.trainer.request_stop() if r.step == 3 else None)
    session.close()
    session = train.resume(tmp_path / "broken", {})
    assert session.vocabulary is not None
    assert session.trainer.train()
    session.close()
    for name in ("metrics.jsonl", "model.bin", "best.bin", "state.bin"):
        assert (tmp_path / "broken" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
