"""Every kernel's results against the fp64 reference, within what fp16 storage explains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import backend
import pyane
import reference_llama as ref
import rounding
from pyane.llama import Config
from pyane.llama.kernels import (
    BACKWARD,
    CLASSIFIER_BACKWARD,
    CLASSIFIER_FORWARD,
    FORWARD,
    Interface,
    KernelDefinition,
    KernelShape,
    attention,
    backward_kernels,
    building_blocks,
    classifier,
    feed_forward,
    forward_kernels,
    norm_backward,
)
from pyane.llama.kernels.layer import NORM_BACKWARD
from reference import numeric_gradient

if TYPE_CHECKING:
    from collections.abc import Callable

CLASSIFIER = (CLASSIFIER_FORWARD, CLASSIFIER_BACKWARD)
KERNELS = {
    kernel.name: kernel
    for kernel in FORWARD + BACKWARD + tuple(NORM_BACKWARD.values()) + CLASSIFIER
}
BUILDER_MODULES = (attention, building_blocks, classifier, feed_forward, norm_backward)


def shape(
    dim: int,
    hidden: int,
    heads: int,
    kv_heads: int,
    batch: int,
    positions: int,
    **options: Any,
) -> KernelShape:
    config = Config(
        dim=dim,
        hidden_dim=hidden,
        n_layers=1,
        n_heads=heads,
        n_kv_heads=kv_heads,
        vocab_size=1,
        seq_len=positions,
        **options,
    )
    return KernelShape(config, batch, positions, classifier_rows=hidden + 3)


SHAPES = {
    "one_position": shape(6, 5, 3, 1, 1, 1),
    "mha": shape(32, 44, 4, 4, 2, 19),
    "gqa": shape(36, 40, 6, 2, 3, 21),
    "multi_query": shape(16, 31, 8, 1, 1, 37),
    "stories260k": shape(64, 172, 8, 4, 1, 64),
    "qk_norm": shape(20, 12, 6, 3, 2, 11, head_dim=8, qk_norm=True, norm_eps=1e-6),
}


def definition_of(name: str, shape: KernelShape) -> KernelDefinition:
    kernels = forward_kernels(shape.config) + CLASSIFIER
    kernels += backward_kernels(shape.config, with_norms=True)
    return next(kernel for kernel in kernels if kernel.name == name)


@dataclass
class Case:
    """Random inputs for one kernel; `reference` computes every tensor that a kernel writes."""

    kernel: KernelDefinition
    shape: KernelShape
    inputs: dict[str, np.ndarray]  # fp16, device layout

    def rows(self, name: str) -> np.ndarray:
        """An activation as the reference wants it: [B, S, C] fp64."""
        return self.inputs[name].astype(np.float64)[:, :, 0].transpose(0, 2, 1)

    def heads(self, name: str) -> np.ndarray:
        rows = self.rows(name)
        return rows.reshape(*rows.shape[:2], -1, self.shape.config.head_dim)

    def weight(self, name: str) -> np.ndarray:
        """[O, I], or [C] of a norm."""
        weight = self.inputs[name].astype(np.float64)
        return weight.reshape(-1) if name.startswith("rms") else weight[0, 0]


def to_device(y: np.ndarray) -> np.ndarray:
    """[B, S, C] or [B, S, H, D] -> [B, C, 1, S]."""
    flat = y.reshape(*y.shape[:2], -1)
    return flat.transpose(0, 2, 1)[:, :, None]


def sdpa_forward(c: Case) -> dict[str, np.ndarray]:
    config = c.shape.config
    xn = ref.rmsnorm(c.rows("xin"), c.weight("rmsatt"), config.norm_eps)
    d = config.head_dim

    def heads(name: str) -> np.ndarray:
        y = xn @ c.weight(name).T
        return y.reshape(*y.shape[:2], -1, d)

    raw_q, raw_k, v = (heads(name) for name in ("wq", "wk", "wv"))
    q, k = raw_q, raw_k
    if config.qk_norm:
        q = ref.rmsnorm(q, c.weight("rmsq"), config.norm_eps)
        k = ref.rmsnorm(k, c.weight("rmsk"), config.norm_eps)
    q, k = ref.rope(q, config.rope_theta), ref.rope(k, config.rope_theta)
    attn = ref.attention(q, k, v).reshape(*xn.shape[:2], -1)
    xmid = c.rows("xin") + attn @ c.weight("wo").T
    values = {"query": q / np.sqrt(d), "key": k, "value": v}
    values |= {"attn": attn, "xmid": xmid, "xnatt": xn}
    if config.qk_norm:
        values |= {"qraw": raw_q, "kraw": raw_k}
    results = {name: to_device(y) for name, y in values.items()}
    return results | {"probs": scores(c, ref.attention_probabilities(q, k))}


def ffn_w13(c: Case) -> dict[str, np.ndarray]:
    xn = ref.rmsnorm(c.rows("xmid"), c.weight("rmsffn"), c.shape.config.norm_eps)
    h1, h3 = xn @ c.weight("w1").T, xn @ c.weight("w3").T
    values = {"h1": h1, "h3": h3, "hgate": ref.swiglu(h1, h3), "xnffn": xn}
    return {name: to_device(y) for name, y in values.items()}


def ffn_w2(c: Case) -> dict[str, np.ndarray]:
    return {"xout": to_device(c.rows("xmid") + c.rows("hgate") @ c.weight("w2").T)}


def ffn_backward_w2t(c: Case) -> dict[str, np.ndarray]:
    dh = ref.swiglu_backward(c.rows("dxout") @ c.weight("w2"), c.rows("h1"), c.rows("h3"))
    return {"dh1": to_device(dh[0]), "dh3": to_device(dh[1])}


def ffn_backward_w13t(c: Case) -> dict[str, np.ndarray]:
    dxn = c.rows("dh1") @ c.weight("w1") + c.rows("dh3") @ c.weight("w3")
    return {"dxnffn": to_device(dxn)}


def wot_backward(c: Case) -> dict[str, np.ndarray]:
    return {"dattn": to_device(c.rows("dxmid") @ c.weight("wo"))}


def scores(c: Case, y: np.ndarray) -> np.ndarray:
    """[B, H, S, S] -> [B * K, G, S, S]: query heads of one KV head are neighbours."""
    return y.reshape(c.shape.tensor_shapes()["probs"])


def per_head(c: Case, name: str) -> np.ndarray:
    """[B * K, G, S, S] -> [B, H, S, S]."""
    config, positions = c.shape.config, c.shape.positions
    given = c.inputs[name].astype(np.float64)
    return given.reshape(c.shape.batch, config.n_heads, positions, positions)


def sdpa_backward1(c: Case) -> dict[str, np.ndarray]:
    """Takes `probs` and `attn` as they are given, random: not those of any query and key."""
    v, do, p = c.heads("value"), c.heads("dattn"), per_head(c, "probs")
    group = do.shape[2] // v.shape[2]
    dp = np.einsum("bihd,bjhd->bhij", do, v[:, :, np.arange(do.shape[2]) // group])
    mean = np.einsum("bihd,bihd->bhi", do, c.heads("attn"))
    dv = np.einsum("bhij,bihd->bjhd", p, do)
    return {
        "dscores": scores(c, p * (dp - mean[..., None])),
        "dvalue": to_device(dv.reshape(*v.shape[:3], group, -1).sum(axis=3)),
    }


def sdpa_backward2(c: Case) -> dict[str, np.ndarray]:
    config = c.shape.config
    ds, q, k = per_head(c, "dscores"), c.heads("query"), c.heads("key")
    group = config.n_heads // config.n_kv_heads
    keys = k[:, :, np.arange(config.n_heads) // group]
    dq = np.einsum("bhij,bjhd->bihd", ds, keys) / np.sqrt(config.head_dim)
    dk = np.einsum("bhij,bihd->bjhd", ds, q).reshape(*k.shape[:3], group, -1).sum(axis=3)
    names = ("dqnorm", "dknorm") if config.qk_norm else ("dquery", "dkey")
    return {
        name: to_device(ref.rope(d, config.rope_theta, inverse=True))
        for name, d in zip(names, (dq, dk), strict=True)
    }


def qkv_backward(c: Case) -> dict[str, np.ndarray]:
    dxn = sum(
        c.rows(d) @ c.weight(w) for d, w in (("dquery", "wq"), ("dkey", "wk"), ("dvalue", "wv"))
    )
    return {"dxnatt": to_device(dxn)}


def ffn_norm_backward(c: Case) -> dict[str, np.ndarray]:
    return norm_gradients(c, "dxnffn", "xmid", "rmsffn", "ffn")


def attention_norm_backward(c: Case) -> dict[str, np.ndarray]:
    return norm_gradients(c, "dxnatt", "xin", "rmsatt", "att")


def norm_gradients(c: Case, dy: str, x: str, weight: str, suffix: str) -> dict[str, np.ndarray]:
    eps = c.shape.config.norm_eps
    found = [
        ref.rmsnorm_backward(dy_SC, x_SC, c.weight(weight), eps)
        for dy_SC, x_SC in zip(c.rows(dy), c.rows(x), strict=True)
    ]
    dx, dw = (np.stack(part) for part in zip(*found, strict=True))
    return {f"dx{suffix}": to_device(dx), f"dw{suffix}": dw[None, None]}


def classifier_forward(c: Case) -> dict[str, np.ndarray]:
    return {"logits": (c.rows("xncls") @ c.weight("wcls").T)[:, None]}


def classifier_backward(c: Case) -> dict[str, np.ndarray]:
    return {"dxncls": to_device(c.inputs["dlogits"].astype(np.float64)[:, 0] @ c.weight("wcls"))}


REFERENCES: dict[str, Callable[[Case], dict[str, np.ndarray]]] = {
    "sdpaFwd": sdpa_forward,
    "ffnW13": ffn_w13,
    "ffnW2": ffn_w2,
    "ffnBwdW2t": ffn_backward_w2t,
    "ffnBwdW13t": ffn_backward_w13t,
    "wotBwd": wot_backward,
    "sdpaBwd1": sdpa_backward1,
    "sdpaBwd2": sdpa_backward2,
    "qkvBwd": qkv_backward,
    "rmsFfnBwd": ffn_norm_backward,
    "rmsAttBwd": attention_norm_backward,
    "clsFwd": classifier_forward,
    "clsBwd": classifier_backward,
}


def random_tensor(name: str, dims: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Numbers of a trained model's size; norm weights around one, to show a misplaced one."""
    if name.startswith("rms"):
        return rng.uniform(0.5, 1.5, dims).astype(np.float16)
    if name.startswith("w"):
        return (rng.standard_normal(dims) / np.sqrt(dims[-1])).astype(np.float16)
    if name == "probs":
        return np.tril(rng.dirichlet(np.ones(dims[-1]), dims[:-1])).astype(np.float16)
    return rng.standard_normal(dims).astype(np.float16)


def make_case(kernel: KernelDefinition, shape: KernelShape, rng: np.random.Generator) -> Case:
    dims = shape.tensor_shapes()
    names = kernel.inputs + kernel.weights
    return Case(kernel, shape, {name: random_tensor(name, dims[name], rng) for name in names})


def evaluate(device: pyane.Device, case: Case) -> dict[str, np.ndarray]:
    """Results of the kernel as fp64."""
    with device.compile(Interface(case.kernel, case.shape).program()) as kernel:
        for name, value in case.inputs.items():
            kernel.inputs[name][...] = value
        kernel.evaluate()
        return {name: value.astype(np.float64) for name, value in kernel.outputs.items()}


def bounds(case: Case, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """How far rounding may take each result (tests/rounding.py)."""
    with monkeypatch.context() as patch:
        for module in BUILDER_MODULES:
            patch.setattr(module, "mil", rounding)
        inputs = {name: rounding.exact(value) for name, value in case.inputs.items()}
        return {result.name: result.error for result in case.kernel.body(case.shape, **inputs)}


# The engine's activations are tables (docs/ane.md): it would need bounds of its own.
@pytest.fixture(scope="module")
def device() -> pyane.Device:
    return backend.device()


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("name", KERNELS)
def test_kernel_agrees_with_reference(
    name: str,
    shape: KernelShape,
    device: pyane.Device,
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = make_case(definition_of(name, shape), shape, rng)
    expected = REFERENCES[name](case)
    actual = evaluate(device, case)
    allowed = bounds(case, monkeypatch)
    assert actual.keys() == expected.keys() == allowed.keys()
    for tensor, value in expected.items():
        error = np.abs(actual[tensor] - value)
        assert (error <= allowed[tensor]).all(), f"{tensor}: {(error / allowed[tensor]).max()}"
        # The bound means something: it is small beside what it bounds. (Six numbers may cancel.)
        meaningful = np.median(allowed[tensor]) < 0.02 * np.abs(value).max()
        assert meaningful or value.size < 50, tensor


@pytest.mark.parametrize("name", KERNELS)
def test_program_has_the_named_inputs_and_outputs(name: str, device: pyane.Device) -> None:
    definition, kernel_shape = KERNELS[name], SHAPES["gqa"]
    dims = kernel_shape.tensor_shapes()
    kernel = device.compile(Interface(definition, kernel_shape).program())
    assert list(kernel.input_specs) == sorted(definition.inputs + definition.weights)
    assert list(kernel.output_specs) == sorted(definition.outputs)
    for spec in (*kernel.input_specs.values(), *kernel.output_specs.values()):
        assert tuple(spec.shape) == dims[spec.name]
        assert spec.dtype == np.float16


def test_names_sort_the_same_everywhere() -> None:
    """Letters, then at most one digit, lower-case: whatever the collation, one order."""
    for name in SHAPES["gqa"].tensor_shapes():
        assert name.isascii()
        assert name.islower()
        assert name.rstrip("0123456789").isalpha()
        assert not name[-2:].isdigit()


def test_attention_kernels_make_a_gradient(
    device: pyane.Device, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """wotBwd, sdpaBwd1, sdpaBwd2, qkvBwd one after the other, against central differences."""
    kernel_shape = shape(12, 5, 6, 2, 1, 5)
    forward = make_case(KERNELS["sdpaFwd"], kernel_shape, rng)
    dxmid = rng.standard_normal(kernel_shape.tensor_shapes()["dxmid"]).astype(np.float16)
    tensors = forward.inputs | {"dxmid": dxmid}
    tensors |= {n: v.astype(np.float16) for n, v in evaluate(device, forward).items()}
    tracked = {name: rounding.exact(value) for name, value in forward.inputs.items()}
    tracked["dxmid"] = rounding.exact(dxmid)
    for name in ("wotBwd", "sdpaBwd1", "sdpaBwd2", "qkvBwd"):
        kernel = KERNELS[name]
        inputs = {n: tensors[n] for n in kernel.inputs + kernel.weights}
        results = evaluate(device, Case(kernel, kernel_shape, inputs))
        tensors |= {n: v.astype(np.float16) for n, v in results.items()}
    with monkeypatch.context() as patch:
        for module in BUILDER_MODULES:
            patch.setattr(module, "mil", rounding)
        for name in ("sdpaFwd", "wotBwd", "sdpaBwd1", "sdpaBwd2", "qkvBwd"):
            kernel = KERNELS[name]
            inputs = {n: tracked[n] for n in kernel.inputs + kernel.weights}
            tracked |= {result.name: result for result in kernel.body(kernel_shape, **inputs)}

    # The gradient by the normalised input, with everything behind it in fp64.
    xn = sdpa_forward(forward)["xnatt"][:, :, 0].transpose(0, 2, 1).copy()
    config = kernel_shape.config
    weight = {n: forward.weight(n) for n in ("wq", "wk", "wv", "wo")}
    upstream = dxmid.astype(np.float64)[:, :, 0].transpose(0, 2, 1)

    def loss() -> float:
        q, k, v = (
            (xn @ weight[n].T).reshape(1, 5, -1, config.head_dim) for n in ("wq", "wk", "wv")
        )
        q, k = ref.rope(q, config.rope_theta), ref.rope(k, config.rope_theta)
        return float(((ref.attention(q, k, v).reshape(1, 5, -1) @ weight["wo"].T) * upstream).sum())

    numeric = to_device(numeric_gradient(loss, xn))
    error = np.abs(tensors["dxnatt"] - numeric)
    assert (error <= tracked["dxnatt"].error + 1e-6).all()
    assert error.max() < 0.02 * np.abs(numeric).max()


def test_feed_forward_kernels_make_a_gradient(
    device: pyane.Device, rng: np.random.Generator
) -> None:
    """ffnBwdW2t, ffnBwdW13t one after the other, against central differences."""
    kernel_shape = shape(6, 7, 3, 1, 1, 5)
    forward = make_case(KERNELS["ffnW13"], kernel_shape, rng)
    dims = kernel_shape.tensor_shapes()
    tensors = forward.inputs | {n: random_tensor(n, dims[n], rng) for n in ("w2", "dxout")}
    tensors |= {n: v.astype(np.float16) for n, v in evaluate(device, forward).items()}
    for name in ("ffnBwdW2t", "ffnBwdW13t"):
        kernel = KERNELS[name]
        inputs = {n: tensors[n] for n in kernel.inputs + kernel.weights}
        results = evaluate(device, Case(kernel, kernel_shape, inputs))
        tensors |= {n: v.astype(np.float16) for n, v in results.items()}
    xn = ffn_w13(forward)["xnffn"][:, :, 0].transpose(0, 2, 1).copy()
    w1, w2, w3 = (tensors[n].astype(np.float64)[0, 0] for n in ("w1", "w2", "w3"))
    upstream = tensors["dxout"].astype(np.float64)[:, :, 0].transpose(0, 2, 1)
    numeric = to_device(
        numeric_gradient(
            lambda: float(((ref.swiglu(xn @ w1.T, xn @ w3.T) @ w2.T) * upstream).sum()), xn
        )
    )
    error = np.abs(tensors["dxnffn"] - numeric)
    # Eight roundings on the longest path (xnffn, h1, s, h1 s', dsilu, dh1, product, sum), of numbers
    # no larger than the norms of the factors.
    assert error.max() < 8 * 2.0**-11 * np.abs(numeric).max() * np.sqrt(7)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 300.0, 20000.0])
def test_rmsnorm_keeps_fp16s_whole_range(
    scale: float, device: pyane.Device, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Squares would overflow from 256 on, and underflow below 2^-12."""
    case = make_case(KERNELS["ffnW13"], SHAPES["mha"], rng)
    signs = np.clip(case.inputs["xmid"].astype(np.float64), -3, 3)
    case.inputs["xmid"] = (scale * signs).astype(np.float16)
    error = np.abs(evaluate(device, case)["xnffn"] - ffn_w13(case)["xnffn"])
    assert (error <= bounds(case, monkeypatch)["xnffn"]).all()


@pytest.mark.parametrize("size", [1.0, 30.0])
def test_later_positions_have_no_influence(
    size: float, device: pyane.Device, rng: np.random.Generator
) -> None:
    """Bit for bit, however large the scores."""
    case = make_case(KERNELS["sdpaFwd"], SHAPES["gqa"], rng)
    case.inputs["wq"] *= np.float16(size)
    first = evaluate(device, case)
    case.inputs["xin"][..., 9:] = rng.standard_normal(case.inputs["xin"][..., 9:].shape)
    second = evaluate(device, case)
    for name in case.kernel.outputs:
        # Positions are the last axis; those of queries, in probs, the one before.
        a, b = (y[name].swapaxes(2, 3) if name == "probs" else y[name] for y in (first, second))
        assert np.array_equal(a[..., :9], b[..., :9]), name
        assert not np.array_equal(a[..., 9:], b[..., 9:]), name
    assert not first["probs"][:, :, np.triu(np.ones((21, 21), bool), 1)].any()
