"""Two independent references agree: the NumPy one with PyTorch's autograd."""

from __future__ import annotations

import numpy as np
import pytest

import llama_golden as golden
import reference_llama as ref

# Goldens are stored in fp32: half a unit in the last place of the largest number.
STORED = np.finfo(np.float32).eps


@pytest.mark.parametrize("name", golden.NAMES)
def test_reference_agrees_with_pytorch(name: str) -> None:
    case = golden.load(name)
    weights = {key: value.astype(np.float64) for key, value in case.weights.items()}
    model = ref.Llama(case.config, weights)
    logits = model.forward(case.tokens[0, :, :-1])
    np.testing.assert_allclose(logits, case.logits, rtol=STORED, atol=1e-12)
    loss, grads = model.loss_and_gradients(case.tokens[0, :, :-1], case.targets[0])
    assert loss == pytest.approx(case.loss, rel=1e-12)
    assert grads.keys() == case.gradients.keys()
    for key, grad in grads.items():
        np.testing.assert_allclose(grad, case.gradients[key], rtol=STORED, atol=1e-12)
