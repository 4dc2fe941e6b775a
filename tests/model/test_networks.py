"""Small networks of every kind people convert: through coremltools, loaded, evaluated, against PyTorch."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyane
from pyane import mil

pytestmark = pytest.mark.slow
torch = pytest.importorskip("torch")
nn, F = torch.nn, torch.nn.functional
EPS32 = float(np.finfo(np.float32).eps)


class Block(nn.Module):
    """A transformer's layer."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Any) -> Any:
        b, t, width = x.shape

        def split(z: Any) -> Any:
            return z.reshape(b, t, self.heads, width // self.heads).transpose(1, 2)

        q, k, v = map(split, self.qkv(self.norm1(x)).split(width, -1))
        a = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, t, width)
        x = x + self.out(a)
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Language(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(100, 32), nn.Linear(32, 100)
        self.blocks, self.norm = nn.Sequential(Block(32, 4), Block(32, 4)), nn.LayerNorm(32)

    def forward(self, tokens: Any) -> Any:
        return self.head(self.norm(self.blocks(self.embed(tokens))))


class Speech(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(80, 32, 3, padding=1)
        self.conv2 = nn.Conv1d(32, 32, 3, stride=2, padding=1)
        self.block, self.head = Block(32, 4), nn.Linear(32, 30)

    def forward(self, x: Any) -> Any:
        y = F.gelu(self.conv2(F.gelu(self.conv1(x)))).transpose(1, 2)
        return F.log_softmax(self.head(self.block(y)), -1)


class Residual(nn.Module):
    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(4, n_in), nn.GroupNorm(4, n_out)
        self.conv1 = nn.Conv2d(n_in, n_out, 3, padding=1)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1)
        self.skip, self.time = nn.Conv2d(n_in, n_out, 1), nn.Linear(16, n_out)

    def forward(self, x: Any, t: Any) -> Any:
        y = self.conv1(F.silu(self.norm1(x))) + self.time(t)[:, :, None, None]
        return self.conv2(F.silu(self.norm2(y))) + self.skip(x)


class Diffusion(nn.Module):
    """A U-Net with one step down and up."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(4, 8, 3, padding=1), nn.Conv2d(8, 4, 3, padding=1)
        self.down = nn.Conv2d(16, 16, 3, stride=2, padding=1)
        self.a, self.b, self.c = Residual(8, 16), Residual(16, 16), Residual(32, 8)

    def forward(self, x: Any, t: Any) -> Any:
        angles = t * torch.arange(8)
        t = torch.cat([torch.sin(angles), torch.cos(angles)], -1)
        high = self.a(self.first(x), t)
        low = self.b(self.down(high), t)
        low = F.interpolate(low, scale_factor=2.0, mode="nearest")
        return self.last(self.c(torch.cat([low, high], 1), t))


class Vision(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.point = nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.Conv2d(8, 16, 1)
        self.depth = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.norm, self.squeeze = nn.BatchNorm2d(16), nn.Conv2d(16, 16, 1)
        self.up = nn.ConvTranspose2d(16, 8, 2, 2)

    def forward(self, x: Any) -> Any:
        x = F.relu6(self.norm(self.point(self.depth(F.hardswish(self.first(x))))))
        x = x * torch.sigmoid(self.squeeze(F.adaptive_avg_pool2d(x, 1)))
        x = F.max_pool2d(F.pad(self.up(x), (1, 1, 1, 1), mode="reflect"), 3, 2)
        x = F.pixel_shuffle(x, 2)
        return F.interpolate(x, size=(20, 20), mode="bilinear", align_corners=False)


class Shapes(nn.Module):
    """What moves and picks elements."""

    def forward(self, x: Any) -> Any:
        return (
            torch.cumsum(x, 1),
            torch.einsum("bij,bkj->bik", x, x),
            torch.where(x > 0.5, x, -x),
            torch.roll(x.flip(1), 1, 2),
            x.masked_fill(x < 0.2, 0),
            F.one_hot(x.argmax(-1), 5).float(),
            torch.linalg.norm(x, dim=-1),
            torch.topk(x, 2, dim=-1)[0],
            torch.gather(x, 1, torch.tensor([[[2, 1, 0, 2, 1]]] * 2)),
        )


NETWORKS: dict[str, tuple[Callable[[], Any], Callable[[Any], tuple[Any, ...]]]] = {
    "language": (Language, lambda g: (torch.randint(0, 100, (1, 9), generator=g).int(),)),
    "speech": (Speech, lambda g: (torch.randn(1, 80, 20, generator=g),)),
    "diffusion": (
        Diffusion,
        lambda g: (torch.randn(1, 4, 16, 16, generator=g), torch.rand(1, 1, generator=g)),
    ),
    "vision": (Vision, lambda g: (torch.randn(1, 3, 32, 32, generator=g),)),
    "shapes": (Shapes, lambda g: (torch.rand(2, 3, 5, generator=g),)),
}


@pytest.mark.parametrize("target", ["iOS16", "iOS17"])
@pytest.mark.parametrize("name", NETWORKS)
def test_network(name: str, target: str, tmp_path: Path) -> None:
    make, draw = NETWORKS[name]
    generator = torch.Generator().manual_seed(5)
    torch.manual_seed(5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        ct = pytest.importorskip("coremltools")
        net = make().eval()
        inputs = draw(generator)
        exported = torch.export.export(net, inputs).run_decompositions({})
        ct.convert(
            exported,
            convert_to="mlprogram",
            skip_model_load=True,
            minimum_deployment_target=getattr(ct.target, target),
            compute_precision=ct.precision.FLOAT32,
        ).save(str(tmp_path / "x.mlpackage"))
        logging.disable(logging.NOTSET)
    model = pyane.load(tmp_path / "x.mlpackage")
    mil.verify(model.program)
    assert pyane.check(model, chip="all") is not None
    with torch.no_grad():
        wanted = net(*inputs)
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    with pyane.device("emulator").compile(model) as kernel:
        arrays = [
            np.asarray(x).astype(kernel.input_specs[p.name].dtype)
            for x, p in zip(inputs, model.native_function.parameters, strict=True)
        ]
        results = kernel(*arrays)
    outputs = list(results.values()) if isinstance(results, dict) else [results]
    for result, want in zip(outputs, wanted, strict=True):
        exact = want.numpy()
        # Depth 30 of sums of at most 300 terms in fp32, on values of the output's magnitude.
        bound = 30 * 300 * EPS32 * max(np.abs(exact).max(), 1)
        np.testing.assert_allclose(result, exact, rtol=0, atol=bound)
