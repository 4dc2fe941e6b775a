"""What the progress of a run is made of."""

from __future__ import annotations

import math

import pytest

from pyane.cli.progress import Pace


def test_loss_of_a_short_run_is_that_of_its_steps() -> None:
    """No step weighs more than the later ones: a falling loss is not shown as it was at first."""
    pace = Pace(3)
    assert math.isnan(pace.loss)
    pace.recall([{"step": 0, "held_out_loss": 6.5}, {"step": 1, "loss": 6.0}])
    assert pace.loss == pytest.approx(6.0)
    pace.recall([{"step": 2, "loss": 4.0}, {"step": 3, "loss": 4.0}])
    weights = [0.95**2, 0.95, 1.0]
    mean = sum(w * x for w, x in zip(weights, [6.0, 4.0, 4.0], strict=True)) / sum(weights)
    assert pace.loss == pytest.approx(mean)
