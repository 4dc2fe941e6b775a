"""Against a plain reading of coremltools' reference (its TestNonMaximumSuppression)."""

from __future__ import annotations

import numpy as np
import pytest

import mil_text
import pyane


def overlaps(boxes: np.ndarray) -> np.ndarray:
    low, high = boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2
    sides = np.minimum(high[:, None], high[None]) - np.maximum(low[:, None], low[None])
    both = np.prod(np.maximum(sides, 0), -1)
    area = boxes[:, 2] * boxes[:, 3]
    return both / (area[:, None] + area[None] - both)


def suppressed(boxes, scores, iou_threshold, score_threshold, max_boxes, per_class):
    """Indices of one image: the best box, then the best that overlaps none of the chosen."""
    best, category = scores.max(-1), scores.argmax(-1)
    iou = overlaps(boxes)
    left = [i for i in np.argsort(-best, kind="stable") if best[i] > score_threshold]
    chosen = []
    while left:
        first = left.pop(0)
        chosen.append(first)
        left = [
            i for i in left
            if iou[first, i] <= iou_threshold or (per_class and category[i] != category[first])
        ]  # fmt: skip
    return (chosen or [int(np.argmax(best))])[:max_boxes]


def run(device, boxes, scores, max_boxes, **attributes):
    last = "score_threshold" not in attributes
    dtype, n, k = boxes.dtype, boxes.shape[0], scores.shape[1 if last else 2]
    shapes = (
        [(n, 4, max_boxes), (n, k, max_boxes)] if last else [(n, max_boxes, 4), (n, max_boxes, k)]
    )
    kinds = [mil_text.tensor_type(dtype, shape) for shape in shapes]
    kinds += [mil_text.tensor_type(np.int32, (n, max_boxes))]
    names = ["boxes_out", "scores_out", "indices"]
    if not last:
        kinds.append(mil_text.tensor_type(np.int32, (n,)))
        names.append("counts")
    results = ", ".join(f"{kind} {name}" for kind, name in zip(kinds, names, strict=True))
    given = attributes | {"max_boxes": max_boxes}
    arguments = ", ".join(f"{name} = {mil_text.literal(v)}" for name, v in given.items())
    line = (
        f"{results} = non_maximum_suppression(boxes = boxes, scores = scores, {arguments})"
        '[name = string("nms")];'
    )
    inputs = {
        "boxes": mil_text.tensor_type(dtype, boxes.shape),
        "scores": mil_text.tensor_type(dtype, scores.shape),
    }
    return device.compile(mil_text.program(inputs, [line], names))(boxes=boxes, scores=scores)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("n_classes", [1, 4])
@pytest.mark.parametrize("per_class", [False, True])
@pytest.mark.parametrize("threshold", [-101.0, 0.0, 60.0, 101.0])
@pytest.mark.parametrize(("n_boxes", "max_boxes"), [(1, 1), (30, 7), (30, 40)])
def test_suppression(emulator, rng, n_boxes, max_boxes, threshold, per_class, n_classes, dtype):
    boxes = rng.uniform(0, 100, (2, n_boxes, 4)).astype(dtype)
    scores = rng.permutation(2 * n_boxes * n_classes).reshape(2, n_boxes, n_classes)
    scores = (scores * (200 / scores.size) - 100).astype(dtype)
    iou = dtype(0.3)
    result = run(
        emulator, boxes, scores, max_boxes, iou_threshold=iou, score_threshold=dtype(threshold),
        per_class_suppression=per_class,
    )  # fmt: skip
    without = run(
        emulator, boxes.transpose(0, 2, 1).copy(), scores.transpose(0, 2, 1).copy(), max_boxes,
        iou_threshold=iou, per_class_suppression=per_class,
    )  # fmt: skip
    for image in range(2):
        wide = boxes[image].astype(np.float64), scores[image].astype(np.float64)
        for got, floor in [(result, threshold), (without, -np.inf)]:
            chosen = suppressed(*wide, float(iou), floor, max_boxes, per_class)
            n = len(chosen)
            expected = np.full(max_boxes, -1)
            expected[:n] = chosen
            np.testing.assert_array_equal(got["indices"][image], expected)
            taken, scored = np.zeros((max_boxes, 4)), np.zeros((max_boxes, n_classes))
            taken[:n], scored[:n] = boxes[image][chosen], scores[image][chosen]
            if got is without:
                taken, scored = taken.T, scored.T
            else:
                assert got["counts"][image] == n
            np.testing.assert_array_equal(got["boxes_out"][image], taken)
            np.testing.assert_array_equal(got["scores_out"][image], scored)


def test_apples_values(emulator):
    """Of coremltools' own test, which compares with Core ML (BSD-3-Clause; see NOTICE.md)."""
    boxes = np.repeat(np.arange(4, dtype=np.float32), 4).reshape(1, 4, 4)
    scores = np.array([-3.5, 9.4, 2.3, 0.7], np.float32).reshape(1, 4, 1)
    result = run(
        emulator, boxes, scores, 2, iou_threshold=np.float32(0.2), score_threshold=np.float32(0.4),
        per_class_suppression=True,
    )  # fmt: skip
    np.testing.assert_array_equal(result["boxes_out"][0], [[1] * 4, [2] * 4])
    np.testing.assert_array_equal(result["scores_out"].ravel(), np.float32([9.4, 2.3]))
    np.testing.assert_array_equal(result["indices"], [[1, 2]])
    np.testing.assert_array_equal(result["counts"], [2])


def test_the_two_layouts_are_not_mixed_up(emulator):
    boxes, scores = np.zeros((1, 5, 4), np.float32), np.zeros((1, 5, 2), np.float32)
    with pytest.raises(pyane.MilVerifyError, match=r"boxes \[n, 4, B\] and scores \[n, K, B\]"):
        run(emulator, boxes, scores, 2, iou_threshold=np.float32(0.2))
