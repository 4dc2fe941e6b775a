"""Hugging Face folders: round trips, the library `safetensors`, and files that lie."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyane.errors import CheckpointError, ConfigError, ShapeError
from pyane.llama import PRESETS, Config, Parameters, checkpoint
from pyane.llama.huggingface import read_huggingface, write_huggingface
from pyane.llama.safetensors_file import SafetensorsFile

CONFIG = Config(
    dim=24,
    hidden_dim=17,
    n_layers=2,
    n_heads=6,
    n_kv_heads=2,
    vocab_size=13,
    seq_len=5,
    norm_eps=1e-6,
    rope_theta=5e5,
)


QWEN3 = dataclasses.replace(CONFIG, head_dim=6, qk_norm=True)


@pytest.fixture(
    params=[CONFIG, dataclasses.replace(CONFIG, tied_classifier=False), QWEN3],
    ids=["tied", "untied", "qwen3"],
)
def config(request: pytest.FixtureRequest) -> Config:
    return request.param


def random_parameters(config: Config, rng: np.random.Generator) -> Parameters:
    return Parameters(config, rng.standard_normal(config.n_parameters).astype(np.float32))


@pytest.fixture
def folder(rng: np.random.Generator, tmp_path: Path) -> Path:
    write_huggingface(tmp_path / "hf", CONFIG, random_parameters(CONFIG, rng))
    return tmp_path / "hf"


def split_file(path: Path) -> tuple[dict[str, Any], bytes]:
    raw = path.read_bytes()
    (n,) = struct.unpack_from("<Q", raw)
    return json.loads(raw[8 : 8 + n]), raw[8 + n :]


def join_file(path: Path, header: dict[str, Any] | bytes, data: bytes) -> None:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def test_round_trip_is_bit_exact(config: Config, rng: np.random.Generator, tmp_path: Path) -> None:
    parameters = random_parameters(config, rng)
    checkpoint.write(tmp_path / "hf", config, parameters)
    read_config, read = checkpoint.read(tmp_path / "hf")
    assert read_config == config
    assert read.flat.tobytes() == parameters.flat.tobytes()
    assert sorted(p.name for p in (tmp_path / "hf").iterdir()) == [
        "config.json",
        "model.safetensors",
    ]
    assert [p.name for p in tmp_path.iterdir()] == ["hf"]


def test_a_single_file_holds_its_sizes(
    config: Config, rng: np.random.Generator, tmp_path: Path
) -> None:
    parameters = random_parameters(config, rng)
    path = tmp_path / "best.safetensors"
    for _ in range(2):  # the second time in place of the first
        checkpoint.write(path, config, parameters)
    read_config, read = checkpoint.read(path)
    assert read_config == config
    assert read.flat.tobytes() == parameters.flat.tobytes()
    assert [p.name for p in tmp_path.iterdir()] == ["best.safetensors"]
    # In a run folder, whose config.json is another thing.
    path.rename(tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"train": {}}')
    assert checkpoint.read(tmp_path)[0] == config

    header, data = split_file(tmp_path / "model.safetensors")
    for text, message in [
        ("{", r"metadata pyane\.config: must be JSON"),
        ('{"model_type": "gpt2"}', r"metadata pyane\.config: model_type must be one of"),
        (3, "__metadata__ must be an object of strings"),
        ("\ud800", r"metadata pyane\.config: must be JSON"),
    ]:
        header["__metadata__"]["pyane.config"] = text
        join_file(tmp_path / "model.safetensors", header, data)
        with pytest.raises(CheckpointError, match=message):
            checkpoint.read(tmp_path)


@pytest.mark.parametrize(
    ("changes", "suffix"),
    [
        ({"norm_eps": 1e-5, "rope_theta": 10000.0}, ".bin"),
        ({"norm_eps": 1e-6, "rope_theta": 10000.0}, ".safetensors"),
        ({"norm_eps": 1e-5, "rope_theta": 5e5}, ".safetensors"),
        ({"norm_eps": 1e-5, "rope_theta": 10000.0, "qk_norm": True}, ".safetensors"),
        ({"norm_eps": 1e-5, "rope_theta": 10000.0, "head_dim": 6}, ".safetensors"),
    ],
)
def test_the_file_that_can_hold_a_model(
    changes: dict[str, Any], suffix: str, rng: np.random.Generator, tmp_path: Path
) -> None:
    config = dataclasses.replace(CONFIG, **changes)
    assert checkpoint.suffix(config) == suffix
    path = tmp_path / f"model{suffix}"
    checkpoint.write(path, config, random_parameters(config, rng))
    assert checkpoint.read(path)[0] == config
    if suffix != ".bin":
        with pytest.raises(CheckpointError, match=r"llama2\.c's format has no field for"):
            checkpoint.write(tmp_path / "a.bin", config, Parameters(config))


def test_from_llama2c_and_back_is_bit_exact(rng: np.random.Generator, tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, norm_eps=1e-5, rope_theta=10000.0)
    checkpoint.write(tmp_path / "a.bin", config, random_parameters(config, rng))
    checkpoint.write(tmp_path / "hf", *checkpoint.read(tmp_path / "a.bin"))
    checkpoint.write(tmp_path / "b.bin", *checkpoint.read(tmp_path / "hf/model.safetensors"))
    assert (tmp_path / "a.bin").read_bytes() == (tmp_path / "b.bin").read_bytes()


def test_a_head_s_channels_are_permuted(rng: np.random.Generator, tmp_path: Path) -> None:
    """llama2.c's channel 2i is Hugging Face's i, 2i + 1 is i + D/2."""
    parameters = random_parameters(CONFIG, rng)
    write_huggingface(tmp_path / "hf", CONFIG, parameters)
    header, data = split_file(tmp_path / "hf/model.safetensors")
    begin, end = header["model.layers.1.self_attn.k_proj.weight"]["data_offsets"]
    stored = np.frombuffer(data[begin:end], "<f4").reshape(2, 4, 24)  # [K, D, C]
    ours = parameters["wk"][1].reshape(2, 4, 24)
    assert np.array_equal(stored, ours[:, [0, 2, 1, 3]])
    begin, end = header["model.layers.1.self_attn.v_proj.weight"]["data_offsets"]
    assert data[begin:end] == parameters["wv"][1].tobytes()


def test_the_library_reads_and_writes_the_same(
    config: Config, rng: np.random.Generator, tmp_path: Path
) -> None:
    library = pytest.importorskip("safetensors.numpy")
    parameters = random_parameters(config, rng)
    write_huggingface(tmp_path / "hf", config, parameters)
    tensors = library.load_file(tmp_path / "hf/model.safetensors")
    assert np.array_equal(tensors["model.layers.0.mlp.down_proj.weight"], parameters["w2"][0])
    assert ("lm_head.weight" in tensors) != config.tied_classifier
    library.save_file(tensors, tmp_path / "hf/model.safetensors")
    assert read_huggingface(tmp_path / "hf")[1].flat.tobytes() == parameters.flat.tobytes()


@pytest.mark.parametrize(("dtype", "bits"), [("float16", 11), ("bfloat16", 8)])
def test_narrow_weights(dtype: str, bits: int, rng: np.random.Generator, tmp_path: Path) -> None:
    parameters = random_parameters(CONFIG, rng)
    write_huggingface(tmp_path / "hf", CONFIG, parameters, dtype)
    read = read_huggingface(tmp_path / "hf")[1]
    # Half a unit in the last place.
    np.testing.assert_allclose(read.flat, parameters.flat, rtol=2.0**-bits, atol=2.0**-25)
    assert (tmp_path / "hf/model.safetensors").stat().st_size < 2.2 * CONFIG.n_parameters + 4096
    # What is narrow already stays as it is.
    write_huggingface(tmp_path / "again", CONFIG, read, dtype)
    again = read_huggingface(tmp_path / "again")[1]
    assert again.flat.tobytes() == read.flat.tobytes()


def test_bfloat16_as_torch_rounds(rng: np.random.Generator, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    parameters = random_parameters(CONFIG, rng)
    # Ties, both ways; negative zero; subnormals.
    ties = np.array([0x3F808000, 0x3F818000, 0x80000000, 0x00000001], np.uint32).view(np.float32)
    parameters["rms_att_weight"][0, :4] = ties
    write_huggingface(tmp_path / "hf", CONFIG, parameters, "bfloat16")
    read = read_huggingface(tmp_path / "hf")[1]
    expected = torch.from_numpy(parameters.flat).bfloat16().float().numpy()
    assert read.flat.tobytes() == expected.tobytes()


def test_norms_of_heads_are_permuted_too(rng: np.random.Generator, tmp_path: Path) -> None:
    parameters = random_parameters(QWEN3, rng)
    write_huggingface(tmp_path / "hf", QWEN3, parameters)
    header, data = split_file(tmp_path / "hf/model.safetensors")
    begin, end = header["model.layers.1.self_attn.q_norm.weight"]["data_offsets"]
    stored = np.frombuffer(data[begin:end], "<f4")
    assert np.array_equal(stored, parameters["rms_q_weight"][1][[0, 2, 4, 1, 3, 5]])


def test_what_does_not_fit_is_refused(rng: np.random.Generator, tmp_path: Path) -> None:
    parameters = random_parameters(CONFIG, rng)
    parameters["w3"][1, 2, 3] = 7e4
    with pytest.raises(
        CheckpointError, match=r"layers\.1\.mlp\.up_proj.* fit into float16, got 7000"
    ):
        write_huggingface(tmp_path / "hf", CONFIG, parameters, "float16")
    parameters["w3"][1, 2, 3] = np.finfo(np.float32).max
    with pytest.raises(CheckpointError, match="fit into bfloat16"):
        write_huggingface(tmp_path / "hf", CONFIG, parameters, "bfloat16")
    with pytest.raises(ConfigError, match=r"--dtype must be one of float32.* got int8"):
        write_huggingface(tmp_path / "hf", CONFIG, parameters, "int8")
    with pytest.raises(ConfigError, match=r"--dtype must be float32 for a llama2\.c file"):
        checkpoint.write(tmp_path / "a.bin", CONFIG, parameters, "float16")
    with pytest.raises(ShapeError, match="parameters must be of"):
        write_huggingface(tmp_path / "hf", CONFIG, Parameters(PRESETS["stories260k"]))
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(rng: np.random.Generator, tmp_path: Path) -> None:
    parameters = random_parameters(CONFIG, rng)
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf/keep").write_text("mine")
    with pytest.raises(CheckpointError, match="must be new or an empty folder"):
        write_huggingface(tmp_path / "hf", CONFIG, parameters)
    (tmp_path / "hf/keep").unlink()
    write_huggingface(tmp_path / "hf", CONFIG, parameters)
    assert (tmp_path / "hf/config.json").is_file()


def test_a_failed_write_leaves_nothing(
    rng: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def disk_full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", disk_full)
    with pytest.raises(CheckpointError, match="could not be written: No space left on device"):
        write_huggingface(tmp_path / "hf", CONFIG, random_parameters(CONFIG, rng))
    assert not list(tmp_path.iterdir())


def test_shards(folder: Path) -> None:
    expected = read_huggingface(folder)[1]
    header, data = split_file(folder / "model.safetensors")
    header.pop("__metadata__")
    where = {}
    for i, names in enumerate((sorted(header)[::2], sorted(header)[1::2])):
        at, part, chunks = 0, {}, []
        for name in names:
            begin, end = header[name]["data_offsets"]
            part[name] = header[name] | {"data_offsets": [at, at + end - begin]}
            chunks.append(data[begin:end])
            at += end - begin
            where[name] = f"model-{i}.safetensors"
        join_file(folder / f"model-{i}.safetensors", part, b"".join(chunks))
    (folder / "model.safetensors").unlink()
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": len(data)}, "weight_map": where}))
    assert read_huggingface(folder)[1].flat.tobytes() == expected.flat.tobytes()

    name = "model.norm.weight"
    moved = (
        "model-1.safetensors" if where[name].endswith("0.safetensors") else "model-0.safetensors"
    )
    for file, message in [
        (moved, rf"{moved}: tensor model\.norm\.weight is missing, which"),
        (
            "../model-0.safetensors",
            r"files must be \*\.safetensors of this folder, got '\.\./model",
        ),
        ("/etc/passwd", "files must be .* got '/etc/passwd'"),
        ("absent.safetensors", "absent.safetensors: checkpoint cannot be read"),
        (3, "weight_map must be an object of file names"),
    ]:
        index.write_text(json.dumps({"weight_map": where | {name: file}}))
        with pytest.raises(CheckpointError, match=message):
            checkpoint.read(folder)


def test_a_tied_model_may_carry_its_classifier(folder: Path) -> None:
    path = folder / "model.safetensors"
    header, data = split_file(path)
    begin, end = header["model.embed_tokens.weight"]["data_offsets"]
    header["lm_head.weight"] = header["model.embed_tokens.weight"] | {
        "data_offsets": [len(data), len(data) + end - begin]
    }
    join_file(path, header, data + data[begin:end])
    assert read_huggingface(folder)[0].tied_classifier
    join_file(path, header, data + data[begin + 4 : end] + bytes(4))
    with pytest.raises(CheckpointError, match=r"lm_head\.weight must equal model\.embed_tokens"):
        read_huggingface(folder)


Change = Callable[[dict[str, Any]], Any]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda c: c.update(model_type="gpt2"),
            "model_type must be one of llama, mistral, qwen3, got 'gpt2'",
        ),
        (lambda c: c.update(hidden_act="gelu"), "hidden_act must be 'silu', got 'gelu'"),
        (
            lambda c: c.update(model_type="mistral", sliding_window=4),
            "sliding_window must be null or at least max_position_embeddings = 5, got 4",
        ),
        (lambda c: c.update(attention_bias=True), "attention_bias must be False, got True"),
        (lambda c: c.update(rope_scaling={"rope_type": "llama3"}), "rope_scaling must be None"),
        (lambda c: c.update(rope_parameters={"rope_type": "yarn"}), "rope_parameters must be of"),
        (lambda c: c.update(rope_parameters=3), "rope_parameters must be of type 'default', got 3"),
        (lambda c: c.pop("hidden_size"), r"config\.json: hidden_size is missing"),
        (lambda c: c.update(hidden_size="24"), "dim must be an int, got '24'"),
        (lambda c: c.update(num_hidden_layers=-1), "n_layers must be between 1 and .*, got -1"),
        (lambda c: c.update(num_hidden_layers=3), r"9 tensors are missing, model\.layers\.2\."),
        (lambda c: c.update(num_hidden_layers=1), r"9 tensors have no place .* model\.layers\.1\."),
        (lambda c: c.update(intermediate_size=18), r"must have shape \[18, 24\], got \[17, 24\]"),
        (
            lambda c: c.update(num_hidden_layers=2**31 - 1),
            "must hold 2147483647 layers, got 20 tens",
        ),
        (lambda c: c.update(vocab_size=2**31 - 1), r"must have shape \[2147483647, 24\], got \[13"),
        (lambda c: c.update(tie_word_embeddings=False), r"lm_head\.weight the first .tie_word"),
        (lambda c: c.update(rms_norm_eps="x"), "norm_eps must be a number, got 'x'"),
        (lambda c: c.update(rope_theta=[1]), r"rope_theta must be a number, got \[1\]"),
    ],
)
def test_bad_configs(folder: Path, change: Change, message: str) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=message):
        checkpoint.read(folder)


def test_configs_of_transformers_5(folder: Path) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    del config["rope_theta"], config["rope_scaling"]
    config["rope_parameters"] = {"rope_theta": 5e5, "rope_type": "default"}
    path.write_text(json.dumps(config))
    assert checkpoint.read(folder)[0] == CONFIG


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"[" * 10**5, b'{"a": 1, "a": 2}', b"\xff\xfe"])
def test_configs_that_are_no_json_object(folder: Path, text: bytes) -> None:
    (folder / "config.json").write_bytes(text)
    with pytest.raises(
        CheckpointError, match=r"config\.json: (must be( a)? JSON|'a' is there twice)"
    ):
        checkpoint.read(folder)


EMBEDDING = "model.embed_tokens.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h: h.pop(EMBEDDING), "must begin at offset 0|is missing"),
        (lambda h: h[EMBEDDING].update(dtype="F8"), "dtype must be one of BOOL, .*, got 'F8'"),
        (lambda h: h[EMBEDDING].update(dtype="I32"), "must be F32, F16 or BF16, got I32"),
        (lambda h: h[EMBEDDING].update(dtype=["F32"]), "dtype must be one of"),
        (lambda h: h[EMBEDDING].update(shape=[13, -24]), "shape and data_offsets must be lists"),
        (lambda h: h[EMBEDDING].update(shape=[13, 24.0]), "shape and data_offsets must be lists"),
        (
            lambda h: h[EMBEDDING].update(shape=[2**62, 2**62]),
            "F32 .* needs .* bytes, got data_off",
        ),
        (
            lambda h: h[EMBEDDING].update(shape=[24, 13]),
            r"must have shape \[13, 24\], got \[24, 13\]",
        ),
        (lambda h: h[EMBEDDING].update(data_offsets=[0]), "lists of sizes, the latter of two"),
        (
            lambda h: h[EMBEDDING].update(data_offsets=[1248, 0]),
            "needs 1248 bytes, got data_offsets",
        ),
        (lambda h: h[EMBEDDING].update(data_offsets=[4, 1252]), "must begin at offset 0, got 4"),
        (lambda h: h.update({EMBEDDING: None}), "must be a JSON object, got None"),
    ],
)
def test_bad_headers(folder: Path, change: Change, message: str) -> None:
    path = folder / "model.safetensors"
    header, data = split_file(path)
    change(header)
    join_file(path, header, data)
    with pytest.raises(CheckpointError, match=message):
        checkpoint.read(folder)


def test_every_truncation_is_refused(folder: Path) -> None:
    path = folder / "model.safetensors"
    raw = path.read_bytes()
    for length in [*range(0, len(raw), 911), 1, 7, 8, 9, len(raw) - 1]:
        path.write_bytes(raw[:length])
        with pytest.raises(CheckpointError, match=rf"model\.safetensors: .*{length}"):
            SafetensorsFile(path)
    path.write_bytes(raw + b"\0")
    with pytest.raises(CheckpointError, match=f"needs a file of {len(raw)} bytes"):
        SafetensorsFile(path)
    path.write_bytes(b"\xff" * 8 + raw[8:])
    with pytest.raises(CheckpointError, match="a header of 18446744073709551615 bytes"):
        SafetensorsFile(path)


def test_weights_that_are_not_finite_are_refused(folder: Path) -> None:
    path = folder / "model.safetensors"
    header, data = split_file(path)
    begin = header["model.layers.0.mlp.up_proj.weight"]["data_offsets"][0] + 4 * (24 * 3 + 5)
    join_file(path, header, data[:begin] + struct.pack("<f", np.inf) + data[begin + 4 :])
    with pytest.raises(CheckpointError, match=r"finite, got .*up_proj\.weight\[3, 5\] = inf"):
        checkpoint.read(folder)


def test_folders_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"must hold model\.bin .* or model\.safetensors"):
        checkpoint.read(tmp_path)
    with pytest.raises(CheckpointError, match=r"absent: checkpoint cannot be read \(No such file"):
        checkpoint.read(tmp_path / "absent")
    write_huggingface(tmp_path / "hf", CONFIG, Parameters(CONFIG))
    (tmp_path / "hf/model.safetensors").rename(tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"config\.json: checkpoint cannot be read"):
        checkpoint.read(tmp_path)


def test_run_folders(rng: np.random.Generator, tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, norm_eps=1e-5, rope_theta=10000.0)
    parameters = random_parameters(config, rng)
    checkpoint.write(tmp_path / "model.bin", config, parameters)
    (tmp_path / "config.json").write_text("{}")
    read_config, read = checkpoint.read(tmp_path)
    assert read_config == config
    assert np.array_equal(read.flat, parameters.flat)


def test_damaged_files_are_refused_or_read(folder: Path, rng: np.random.Generator) -> None:
    """Whatever the damage: a clear error or a model of finite numbers, never anything else."""
    files = [folder / "config.json", folder / "model.safetensors"]
    whole = [path.read_bytes() for path in files]
    outcomes = set()
    for i in range(400):
        path, raw = files[i % 2], bytearray(whole[i % 2])
        n_header = min(len(raw), 2500)
        for at in rng.integers(0, n_header, rng.integers(1, 4)):
            raw[at] = rng.choice([rng.integers(256), raw[at] ^ 1, ord("0"), ord("9"), ord("-")])
        path.write_bytes(raw)
        try:
            _, parameters = checkpoint.read(folder)
            assert np.isfinite(parameters.flat).all()
            outcomes.add("read")
        except CheckpointError as error:
            outcomes.add("refused" if str(folder) in str(error) else str(error))
        path.write_bytes(whole[i % 2])
    assert outcomes == {"read", "refused"}
