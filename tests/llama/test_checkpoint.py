from __future__ import annotations

import dataclasses
import errno
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyane.errors import CheckpointError, ShapeError
from pyane.llama import PRESETS, Config, Parameters
from pyane.llama.checkpoint import read_llama2c, rope_tables, write_llama2c

CONFIG = Config(
    dim=12, hidden_dim=17, n_layers=2, n_heads=3, n_kv_heads=1, vocab_size=13, seq_len=5
)
HEADER = ("dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "seq_len")


@pytest.fixture(params=[True, False], ids=["tied", "untied"])
def config(request: pytest.FixtureRequest) -> Config:
    return dataclasses.replace(CONFIG, tied_classifier=request.param)


def random_parameters(config: Config, rng: np.random.Generator) -> Parameters:
    return Parameters(config, rng.standard_normal(config.n_parameters).astype(np.float32))


def test_round_trip_is_bit_exact(config: Config, rng: np.random.Generator, tmp_path: Path) -> None:
    parameters = random_parameters(config, rng)
    path = tmp_path / "model.bin"
    write_llama2c(path, config, parameters)
    read_config, read = read_llama2c(path)
    assert read_config == config
    assert read.flat.tobytes() == parameters.flat.tobytes()
    first = path.read_bytes()
    write_llama2c(path, read_config, read)
    assert path.read_bytes() == first
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.bin"]


def test_layout(config: Config, rng: np.random.Generator, tmp_path: Path) -> None:
    """Against the format's description, not against the reader."""
    parameters = random_parameters(config, rng)
    path = tmp_path / "model.bin"
    write_llama2c(path, config, parameters)
    raw = path.read_bytes()
    vocab = 13 if config.tied_classifier else -13
    assert struct.unpack("<7i", raw[:28]) == (12, 17, 2, 3, 1, vocab, 5)
    numbers = np.frombuffer(raw[28:], "<f4")
    assert np.array_equal(numbers[: 13 * 12].reshape(13, 12), parameters["token_embedding_table"])
    wq = 13 * 12 + 2 * 12
    assert np.array_equal(numbers[wq : wq + 2 * 144].reshape(2, 12, 12), parameters["wq"])
    tables = len(numbers) - (0 if config.tied_classifier else 13 * 12) - 2 * 5 * 2
    cos, sin = numbers[tables : tables + 20].reshape(2, 5, 2)
    angle = np.outer(np.arange(5), 10000.0 ** (-np.arange(2) / 2))
    np.testing.assert_allclose(cos, np.cos(angle), atol=1e-6)
    np.testing.assert_allclose(sin, np.sin(angle), atol=1e-6)
    if not config.tied_classifier:
        assert np.array_equal(numbers[-13 * 12 :].reshape(13, 12), parameters["wcls"])


def version_1(config: Config, parameters: Parameters) -> bytes:
    """As llama2.c's export.py (version1_export) writes it."""
    sizes = [getattr(config, name) for name in HEADER]
    header = struct.pack("<Ii7iB", 0x616B3432, 1, *sizes, config.tied_classifier)
    order = (
        "rms_att_weight rms_ffn_weight rms_final_weight token_embedding_table wq wk wv wo w1 w2 w3"
    )
    names = order.split() + ([] if config.tied_classifier else ["wcls"])
    return header.ljust(256, b"\0") + b"".join(parameters[n].tobytes() for n in names)


def test_version_1(config: Config, rng: np.random.Generator, tmp_path: Path) -> None:
    parameters = random_parameters(config, rng)
    path = tmp_path / "model.bin"
    raw = version_1(config, parameters)
    path.write_bytes(raw)
    read_config, read = read_llama2c(path)
    assert read_config == config
    assert read.flat.tobytes() == parameters.flat.tobytes()
    for length in [28, 255, 256, len(raw) - 1]:
        path.write_bytes(raw[:length])
        with pytest.raises(CheckpointError, match=rf"needs .*{length}"):
            read_llama2c(path)
    for at, value in ((36, 2), (255, 1)):
        path.write_bytes(raw[:at] + bytes([value]) + raw[at + 1 :])
        with pytest.raises(CheckpointError, match="bytes 36 to 256 must be 0 or 1"):
            read_llama2c(path)


def test_every_truncation_is_refused(
    config: Config, rng: np.random.Generator, tmp_path: Path
) -> None:
    path = tmp_path / "model.bin"
    write_llama2c(path, config, random_parameters(config, rng))
    raw = path.read_bytes()
    for length in [*range(0, len(raw), 97), 27, 28, 29, len(raw) - 1]:
        path.write_bytes(raw[:length])
        with pytest.raises(CheckpointError, match=rf"model\.bin: .*{length}"):
            read_llama2c(path)
    path.write_bytes(raw + b"\0")
    with pytest.raises(CheckpointError, match=f"needs a file of {len(raw)} bytes"):
        read_llama2c(path)


def test_every_lying_header_is_refused(rng: np.random.Generator, tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    write_llama2c(path, CONFIG, random_parameters(CONFIG, rng))
    raw = path.read_bytes()
    values = struct.unpack("<7i", raw[:28])
    for field in range(7):
        lies = {0, 1, -1, 2**31 - 1, -(2**31), -values[field]}
        lies |= {values[field] ^ (1 << bit) for bit in range(31)}
        for lie in lies - {values[field]}:
            header = [*values[:field], lie, *values[field + 1 :]]
            path.write_bytes(struct.pack("<7i", *header) + raw[28:])
            with pytest.raises(CheckpointError, match=str(path)):
                read_llama2c(path)


@pytest.mark.parametrize("field", HEADER)
def test_a_bad_field_is_named(field: str, rng: np.random.Generator, tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    write_llama2c(path, CONFIG, random_parameters(CONFIG, rng))
    raw = bytearray(path.read_bytes())
    struct.pack_into("<i", raw, 4 * HEADER.index(field), 0)
    path.write_bytes(raw)
    with pytest.raises(CheckpointError, match=rf"{field} must be between 1 and \d+, got 0"):
        read_llama2c(path)


def test_weights_that_are_not_finite_are_refused(rng: np.random.Generator, tmp_path: Path) -> None:
    parameters = random_parameters(CONFIG, rng)
    parameters["wv"][1, 2, 3] = np.nan
    path = tmp_path / "model.bin"
    write_llama2c(path, CONFIG, parameters)
    with pytest.raises(CheckpointError, match=r"weights must be finite, got wv\[1, 2, 3\] = nan"):
        read_llama2c(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(struct.pack("<Ii", 0x616B3432, 2) + bytes(300))
    with pytest.raises(CheckpointError, match="format version 2; versions 0 and 1 are read"):
        read_llama2c(path)
    path.write_bytes(b"Once upon a time, there was a text file.")
    with pytest.raises(CheckpointError, match=r"no llama2\.c checkpoint"):
        read_llama2c(path)
    with pytest.raises(FileNotFoundError):
        read_llama2c(tmp_path / "absent.bin")


def test_write_refuses_what_the_format_cannot_hold(tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, rope_theta=500000.0)
    with pytest.raises(CheckpointError, match=r"no field for rope_theta.* got 500000"):
        write_llama2c(tmp_path / "model.bin", config, Parameters(config))
    with pytest.raises(ShapeError, match="parameters must be of"):
        write_llama2c(tmp_path / "model.bin", CONFIG, Parameters(PRESETS["stories260k"]))
    assert not list(tmp_path.iterdir())


def test_a_failed_write_keeps_the_old_file(
    rng: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.bin"
    write_llama2c(path, CONFIG, random_parameters(CONFIG, rng))
    old = path.read_bytes()

    def disk_full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", disk_full)
    with pytest.raises(CheckpointError, match="could not be written: No space left on device"):
        write_llama2c(path, CONFIG, random_parameters(CONFIG, rng))
    assert path.read_bytes() == old
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.bin"]


def test_write_follows_a_symbolic_link(rng: np.random.Generator, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "model.bin"
    link.symlink_to(tmp_path / "real" / "model.bin")
    write_llama2c(link, CONFIG, random_parameters(CONFIG, rng))
    assert link.is_symlink()
    assert (tmp_path / "real" / "model.bin").stat().st_size > 28


def test_rope_tables_at_position_zero() -> None:
    cos, sin = rope_tables(3, 8, 10000.0)
    assert cos.shape == sin.shape == (3, 4)
    assert (cos[0] == 1).all()
    assert (sin[0] == 0).all()


def test_real_checkpoint(shared_data: Path, tmp_path: Path) -> None:
    config, parameters = read_llama2c(shared_data / "stories260K.bin")
    assert config == dataclasses.replace(PRESETS["stories260k"], seq_len=512)
    write_llama2c(tmp_path / "copy.bin", config, parameters)
    original = (shared_data / "stories260K.bin").read_bytes()
    copy = (tmp_path / "copy.bin").read_bytes()
    # All but the unused rotary tables, which are computed anew.
    weights = 28 + 4 * config.n_parameters
    assert copy[:weights] == original[:weights]
    np.testing.assert_allclose(
        np.frombuffer(copy[weights:], "<f4"), np.frombuffer(original[weights:], "<f4"), atol=1e-7
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"head_dim": 10}, r"no field for qk_norm, nor for a head_dim other than"),
        ({"qk_norm": True}, r"no field for qk_norm, nor for a head_dim other than"),
    ],
)
def test_shapes_that_the_format_has_no_field_for(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    config = dataclasses.replace(CONFIG, **change)
    with pytest.raises(CheckpointError, match=message):
        write_llama2c(tmp_path / "m.bin", config, Parameters(config))
    assert not (tmp_path / "m.bin").exists()
