#include "pyane/mil/ops/families.h"

namespace pyane::mil::ops {
namespace {

constexpr char kFamily[] = "non_maximum_suppression";

// iOS15 and iOS16, which have score_threshold: boxes [n, B, 4], scores [n, B, K] -> boxes
// [n, M, 4], scores [n, M, K], indices [n, M], counts [n]. iOS17 keeps the boxes in the last
// dimension, [n, 4, B], and gives no counts.
std::vector<Type> infer_non_maximum_suppression(const OpContext& context) {
  require_rank(context, "boxes", 3, 3);
  require_rank(context, "scores", 3, 3);
  const bool is_boxes_last = !context.has("score_threshold");
  const std::size_t at_box = is_boxes_last ? 2 : 1;
  const std::size_t at_part = 3 - at_box;
  Shape boxes = context.dims("boxes");
  Shape scores = context.dims("scores");
  if (!may_equal(boxes[at_part], 4) || !may_equal(boxes[0], scores[0]) ||
      !may_equal(boxes[at_box], scores[at_box])) {
    context.fail(std::string(is_boxes_last
                                 ? "boxes [n, 4, B] and scores [n, K, B] (without score_threshold)"
                                 : "boxes [n, B, 4] and scores [n, B, K] (with score_threshold)") +
                 " must agree, got " + describe(context, "boxes", "scores"));
  }
  const std::int64_t max_boxes = context.integer("max_boxes");
  if (max_boxes < 1) {
    context.fail("max_boxes must be at least 1, got " + std::to_string(max_boxes));
  }
  context.real("iou_threshold");
  const std::int64_t n = known_of(boxes[0], scores[0]);
  boxes[0] = scores[0] = n;
  boxes[at_box] = scores[at_box] = max_boxes;
  boxes[at_part] = 4;
  std::vector<Type> results = {Type::tensor(context.dtype("boxes"), std::move(boxes)),
                               Type::tensor(context.dtype("scores"), std::move(scores)),
                               Type::tensor(DType::kInt32, {n, max_boxes})};
  if (!is_boxes_last) results.push_back(Type::tensor(DType::kInt32, {n}));
  return results;
}

}  // namespace

void add_non_maximum_suppression_ops(OpTable& table) {
  add(table, kFamily, "non_maximum_suppression", "ios15",
      {operand("boxes", kFloats, 'T'), operand("scores", kFloats, 'T'),
       scalar(constant("iou_threshold", kFloats, 'T')),
       scalar(optional_constant("score_threshold", kFloats, {}, 'T')),
       scalar(constant("max_boxes", kInt32Only)),
       optional_constant("per_class_suppression", kBoolOnly, false)},
      infer_non_maximum_suppression)
      .returns_tuple = true;
}

}  // namespace pyane::mil::ops
