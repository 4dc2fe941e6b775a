"""Models that coremltools makes: every opset, open shapes, states, several functions, compression."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyane
from pyane import mil

pytestmark = pytest.mark.slow  # Converting takes seconds.
EPS16 = float(np.finfo(np.float16).eps)


@pytest.fixture(scope="module")
def ct() -> Any:
    logging.disable(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield pytest.importorskip("coremltools")
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    return {
        "conv": rng.normal(size=(8, 3, 3, 3)).astype(np.float32) * 0.2,
        "bias": rng.normal(size=8).astype(np.float32),
        "linear": rng.normal(size=(5, 8)).astype(np.float32),
    }


def network(ct: Any, weights: dict[str, np.ndarray], x: Any) -> Any:
    """Convolution, ReLU, mean over space, linear."""
    mb = ct.converters.mil.Builder
    y = mb.conv(x=x, weight=weights["conv"], bias=weights["bias"], pad_type="same")
    y = mb.relu(x=y)
    y = mb.reduce_mean(x=y, axes=[2, 3])
    return mb.linear(x=y, weight=weights["linear"], name="out")


def expected(weights: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """The same in fp64, by definition."""
    _, _, h, w = x.shape
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    y = np.zeros((1, 8, h, w))
    for i in range(3):
        for j in range(3):
            window = padded[:, :, i : i + h, j : j + w]
            y += np.einsum("oc,bchw->bohw", weights["conv"][:, :, i, j], window)
    y = np.maximum(y + weights["bias"][None, :, None, None], 0).mean((2, 3))
    return y @ weights["linear"].T.astype(np.float64)


def save(ct: Any, program: Any, path: Path, **options: Any) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = ct.convert(program, convert_to="mlprogram", skip_model_load=True, **options)
        made.save(str(path))
    return path


def build(ct: Any, weights: dict[str, np.ndarray], target: str, shape: Any = (1, 3, 6, 7)) -> Any:
    mb = ct.converters.mil.Builder

    @mb.program(input_specs=[mb.TensorSpec(shape=shape)], opset_version=getattr(ct.target, target))
    def program(x: Any) -> Any:
        return network(ct, weights, x)

    return program


@pytest.mark.parametrize("target", ["iOS15", "iOS16", "iOS17", "iOS18"])
@pytest.mark.parametrize("precision", ["FLOAT16", "FLOAT32"])
def test_network(ct, weights, tmp_path, rng, target, precision) -> None:
    path = save(
        ct,
        build(ct, weights, target),
        tmp_path / "x.mlpackage",
        minimum_deployment_target=getattr(ct.target, target),
        compute_precision=getattr(ct.precision, precision),
    )
    model = pyane.load(path)
    mil.verify(model.program)
    assert model.native_function.opset == target.lower()
    assert not model.missing_weights
    # What was converted is what is in the text: the names and bytes of the weights.
    stored = {
        o.outputs[0].name: o.attributes["val"]
        for o in model.native_function.operations
        if o.type == "const" and isinstance(o.attributes["val"].value, mil.BlobReference)
    }
    (conv,) = (name for name, value in stored.items() if value.type.shape == (8, 3, 3, 3))
    blob = stored[conv].value
    dtype = "fp16" if precision == "FLOAT16" else "fp32"
    np.testing.assert_array_equal(
        mil.read_blob(model.weights[blob.path], blob.offset, dtype, (8, 3, 3, 3), strict=True),
        weights["conv"].astype(np.float16 if dtype == "fp16" else np.float32),
    )
    x = rng.normal(size=(1, 3, 6, 7)).astype(np.float32)
    kernel = pyane.device("emulator").compile(model)
    spec = kernel.input_specs["x"]
    result = kernel(x.astype(spec.dtype))
    want = expected(weights, x)
    # Half a unit for each of: weights and bias, x, four operations, linear's weights; of what the
    # sums of magnitudes come to.
    scale = expected({k: np.abs(v) for k, v in weights.items()}, np.abs(x))
    assert np.all(np.abs(result - want) <= 4 * EPS16 * scale)


def test_open_shapes(ct, tmp_path, rng) -> None:
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.ReLU()).eval()
        traced = torch.jit.trace(net, torch.zeros(1, 3, 8, 8))
        ranged = ct.TensorType("x", (1, 3, ct.RangeDim(4, 16, 8), ct.RangeDim(4, 16, 8)))
        listed = ct.TensorType("x", ct.EnumeratedShapes([(1, 3, 8, 8), (1, 3, 16, 16)]))
    target = {"minimum_deployment_target": ct.target.iOS17}
    path = save(ct, traced, tmp_path / "r.mlpackage", inputs=[ranged], **target)
    flexible = pyane.load(path).flexible_shapes["x"]
    assert flexible.default == (1, 3, 8, 8)
    assert flexible.ranges == ((1, 1), (3, 3), (4, 16), (4, 16))
    for shape in ((1, 3, 8, 8), (1, 3, 5, 11)):
        kernel = pyane.device("emulator").compile(pyane.load(path, shapes={"x": shape}))
        x = rng.normal(size=shape).astype(np.float16)
        want = net(torch.from_numpy(x.astype(np.float32))).detach().numpy()
        # Weights below 1/sqrt(27) of a uniform initialisation, each rounded, and the result.
        bound = EPS16 * (27 * np.abs(x).max() / np.sqrt(27) + 1)
        np.testing.assert_allclose(kernel(x), want, atol=bound, rtol=0)
    with pytest.raises(pyane.ShapeError, match=r"allows \[1, 3, 4\.\.16, 4\.\.16\]"):
        pyane.load(path, shapes={"x": (1, 3, 17, 8)})
    path = save(ct, traced, tmp_path / "e.mlpackage", inputs=[listed], **target)
    assert pyane.load(path).flexible_shapes["x"].choices == ((1, 3, 8, 8), (1, 3, 16, 16))


def test_image_and_labels(ct, tmp_path) -> None:
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = torch.nn.Sequential(
            torch.nn.Conv2d(3, 4, 8), torch.nn.Flatten(), torch.nn.Softmax(-1)
        ).eval()
        traced = torch.jit.trace(net, torch.zeros(1, 3, 8, 8))
    path = save(
        ct,
        traced,
        tmp_path / "x.mlpackage",
        inputs=[ct.ImageType("x", (1, 3, 8, 8), scale=1 / 255, color_layout="BGR")],
        classifier_config=ct.ClassifierConfig(["cat", "dog", "cow", "owl"]),
        minimum_deployment_target=ct.target.iOS16,
    )
    model = pyane.load(path)
    mil.verify(model.program)
    (output,) = model.labels
    assert model.labels[output] == ("cat", "dog", "cow", "owl")
    assert model.native_function.outputs == (output,)
    assert "image to Core ML (BGR): give [1, 3, 8, 8]" in model.notes[0]
    x = np.full((1, 3, 8, 8), 100)
    kernel = pyane.device("emulator").compile(model)
    result = kernel(x.astype(kernel.input_specs["x"].dtype))
    want = net(torch.full((1, 3, 8, 8), 100 / 255)).detach().numpy()
    # Logits of 192 products err by EPS16 of their magnitudes' sum; softmax is 1-Lipschitz.
    weight = net[0].weight.detach().numpy()
    logit_error = EPS16 * (np.abs(weight).sum((1, 2, 3)).max() * 100 / 255 * 2 + 1)
    np.testing.assert_allclose(result, want, atol=logit_error, rtol=0)


def test_several_functions(ct, weights, tmp_path) -> None:
    target = {"minimum_deployment_target": ct.target.iOS18}
    for name, shape in (("small", (1, 3, 6, 7)), ("large", (1, 3, 12, 14))):
        save(ct, build(ct, weights, "iOS18", shape), tmp_path / f"{name}.mlpackage", **target)
    described = ct.utils.MultiFunctionDescriptor()
    described.add_function(str(tmp_path / "small.mlpackage"), "main", "small")
    described.add_function(str(tmp_path / "large.mlpackage"), "main", "large")
    described.default_function_name = "small"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ct.utils.save_multifunction(described, str(tmp_path / "both.mlpackage"))
    model = pyane.load(tmp_path / "both.mlpackage")
    assert model.functions == ("large", "small")
    assert model.function == "small"
    mil.verify(model.program)
    for name, shape in (("small", (1, 3, 6, 7)), ("large", (1, 3, 12, 14))):
        kernel = pyane.device("emulator").compile(model, function=name)
        assert kernel.input_specs["x"].shape == shape


@pytest.mark.parametrize("target", ["iOS16", "iOS18"])
@pytest.mark.parametrize("method", ["palettize", "quantize", "prune"])
def test_compressed_weights(ct, weights, tmp_path, rng, target, method) -> None:
    from coremltools.optimize import coreml as optimize  # noqa: PLC0415 -- dev-only

    config = {
        "palettize": lambda: optimize.OpPalettizerConfig(
            mode="uniform", nbits=4, weight_threshold=1
        ),
        "quantize": lambda: optimize.OpLinearQuantizerConfig(weight_threshold=1),
        "prune": lambda: optimize.OpMagnitudePrunerConfig(target_sparsity=0.5, weight_threshold=1),
    }[method]()
    function = {
        "palettize": optimize.palettize_weights,
        "quantize": optimize.linear_quantize_weights,
        "prune": optimize.prune_weights,
    }[method]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = ct.convert(
            build(ct, weights, target),
            convert_to="mlprogram",
            skip_model_load=True,
            minimum_deployment_target=getattr(ct.target, target),
        )
        small = function(made, optimize.OptimizationConfig(global_config=config))
        small.save(str(tmp_path / "x.mlpackage"))
        # coremltools' own idea of the weights, for comparison.
        optimize.decompress_weights(small).save(str(tmp_path / "plain.mlpackage"))
    model = pyane.load(tmp_path / "x.mlpackage")
    mil.verify(model.program)
    compressed = [o for o in model.native_function.operations if o.type.startswith("constexpr_")]
    assert compressed
    # iOS16 keeps the data in attributes, iOS18 gives them as arguments.
    assert all(bool(o.arguments) == (target == "iOS18") for o in compressed)
    assert str(mil.parse(str(model))) == str(model)
    plain = pyane.load(tmp_path / "plain.mlpackage")
    assert not any(o.type.startswith("constexpr_") for o in plain.native_function.operations)
    x = rng.normal(size=(1, 3, 6, 7))
    results = [
        kernel(x.astype(kernel.input_specs["x"].dtype))
        for kernel in map(pyane.device("emulator").compile, (model, plain))
    ]
    # Both round weights to fp16, perhaps after other steps: a unit of each product's magnitude.
    scale = expected({k: np.abs(v) for k, v in weights.items()}, np.abs(x))
    assert np.all(np.abs(results[0] - results[1].astype(np.float64)) <= 2 * EPS16 * scale)


def test_state(ct, tmp_path) -> None:
    mb, types = ct.converters.mil.Builder, ct.converters.mil.mil.types

    @mb.program(
        input_specs=[
            mb.TensorSpec((1, 8), dtype=types.fp16),
            mb.StateTensorSpec((1, 8), dtype=types.fp16),
        ],
        opset_version=ct.target.iOS18,
    )
    def program(x: Any, kv: Any) -> Any:
        old = mb.read_state(input=kv)
        new = mb.coreml_update_state(state=kv, value=mb.add(x=old, y=x))
        return mb.mul(x=new, y=np.float16(2))

    path = save(ct, program, tmp_path / "x.mlpackage", minimum_deployment_target=ct.target.iOS18)
    model = pyane.load(path)
    mil.verify(model.program)
    assert "state<tensor<fp16, [1, 8]>> kv" in str(model)
    assert [o.type for o in model.native_function.operations].count("write_state") == 1
    kernel = pyane.device("emulator").compile(model)
    x = np.arange(8, dtype=np.float16)[None]
    for step in (1, 2, 3):
        np.testing.assert_array_equal(kernel(x=x), 2 * step * x)
    np.testing.assert_array_equal(kernel.states["kv"], 3 * x)


def test_nested_blocks(ct, tmp_path) -> None:
    mb = ct.converters.mil.Builder

    @mb.program(input_specs=[mb.TensorSpec((1, 4))], opset_version=ct.target.iOS17)
    def program(x: Any) -> Any:
        total = mb.reduce_sum(x=x, axes=[0, 1], keep_dims=False)
        y = mb.cond(
            pred=mb.greater(x=total, y=0.0),
            _true_fn=lambda: mb.add(x=x, y=1.0),
            _false_fn=lambda: mb.sub(x=x, y=1.0),
        )
        return mb.while_loop(
            _cond=lambda i, _: mb.less(x=i, y=3.0),
            _body=lambda i, z: (mb.add(x=i, y=1.0), mb.add(x=z, y=z)),
            loop_vars=(np.float32(0), y),
        )[1]

    path = save(ct, program, tmp_path / "x.mlpackage", minimum_deployment_target=ct.target.iOS17)
    model = pyane.load(path)
    mil.verify(model.program)
    blocks = {o.type: len(o.blocks) for o in model.native_function.operations if o.blocks}
    assert blocks == {"cond": 2, "while_loop": 2}
    kernel = pyane.device("emulator").compile(model)
    for sign in (1, -1):
        x = sign * np.array([[1, 2, 3, 4]], np.float32)
        np.testing.assert_array_equal(kernel(x=x), 8 * (x + sign))
    assert str(mil.parse(str(model))) == str(model)
