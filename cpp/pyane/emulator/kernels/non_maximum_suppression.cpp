#include <algorithm>
#include <array>
#include <vector>

#include "pyane/emulator/kernels/float_row.h"
#include "pyane/emulator/kernels/registry.h"

// Greedy suppression of overlapping boxes, by the rules of coremltools' reference: a box scores
// what its best class does, candidates go in descending order, equal ones in their own; without any
// box above the threshold the best one is taken; what is left of the outputs is 0, and -1 for
// indices.

namespace pyane::emulator {
namespace {

struct Box {
  std::array<float, 4> part;  ///< Centre x, y, width, height.
  float score;
  std::int64_t category;
};

float overlap(const Box& a, const Box& b) {
  float intersection = 1.0F;
  for (std::size_t i = 0; i < 2; ++i) {
    const float low = std::max(a.part[i] - 0.5F * a.part[i + 2], b.part[i] - 0.5F * b.part[i + 2]);
    const float high = std::min(a.part[i] + 0.5F * a.part[i + 2], b.part[i] + 0.5F * b.part[i + 2]);
    intersection *= std::max(high - low, 0.0F);
  }
  const float both = a.part[2] * a.part[3] + b.part[2] * b.part[3] - intersection;
  return both > 0.0F ? intersection / both : 0.0F;
}

class NonMaximumSuppression final : public Step {
 public:
  explicit NonMaximumSuppression(const PrepareContext& context)
      : is_boxes_last_(!context.op.has("score_threshold")),
        n_images_(context.inputs[0].dim(0)),
        n_boxes_(context.inputs[0].dim(is_boxes_last_ ? 2 : 1)),
        n_classes_(context.inputs[1].dim(is_boxes_last_ ? 1 : 2)),
        max_boxes_(context.op.integer("max_boxes")),
        iou_threshold_(static_cast<float>(context.op.real("iou_threshold"))),
        is_per_class_(context.op.boolean("per_class_suppression")) {
    if (!is_boxes_last_) score_threshold_ = static_cast<float>(context.op.real("score_threshold"));
  }

  // Candidates, their order and the chosen ones: sizes that scratch of a fixed layout holds.
  std::size_t scratch_bytes() const override {
    return static_cast<std::size_t>(n_boxes_) * (sizeof(Box) + 2 * sizeof(std::int64_t));
  }

  void run(const StepArguments& arguments) const override {
    auto* boxes = reinterpret_cast<Box*>(arguments.scratch);
    auto* order = reinterpret_cast<std::int64_t*>(boxes + n_boxes_);
    std::int64_t* chosen = order + n_boxes_;
    for (std::int64_t image = 0; image < n_images_; ++image) {
      read(arguments, image, boxes);
      const std::int64_t n = choose(boxes, order, chosen);
      write(arguments, image, chosen, n);
    }
  }

 private:
  std::int64_t offset(std::int64_t image, std::int64_t box, std::int64_t part, std::int64_t n_boxes,
                      std::int64_t n_parts) const {
    return is_boxes_last_ ? (image * n_parts + part) * n_boxes + box
                          : (image * n_boxes + box) * n_parts + part;
  }

  float element(const TensorView& tensor, std::int64_t image, std::int64_t box, std::int64_t part,
                std::int64_t n_parts) const {
    float value = 0.0F;
    load_floats(tensor.dtype, tensor.data, offset(image, box, part, n_boxes_, n_parts), 1, 1,
                &value);
    return value;
  }

  void read(const StepArguments& arguments, std::int64_t image, Box* boxes) const {
    for (std::int64_t i = 0; i < n_boxes_; ++i) {
      Box& box = boxes[i];
      for (std::size_t k = 0; k < 4; ++k) {
        box.part[k] = element(arguments.inputs[0], image, i, static_cast<std::int64_t>(k), 4);
      }
      box.score = element(arguments.inputs[1], image, i, 0, n_classes_);
      box.category = 0;
      for (std::int64_t k = 1; k < n_classes_; ++k) {
        const float score = element(arguments.inputs[1], image, i, k, n_classes_);
        if (score > box.score) {
          box.score = score;
          box.category = k;
        }
      }
    }
  }

  std::int64_t choose(const Box* boxes, std::int64_t* order, std::int64_t* chosen) const {
    std::int64_t n = 0;
    for (std::int64_t i = 0; i < n_boxes_; ++i) {
      // NaN is no candidate: it has no place in the order.
      const bool is_candidate =
          is_boxes_last_ ? boxes[i].score == boxes[i].score : boxes[i].score > score_threshold_;
      if (is_candidate) order[n++] = i;
    }
    const auto is_better = [&](std::int64_t a, std::int64_t b) {
      return boxes[a].score > boxes[b].score || (boxes[a].score == boxes[b].score && a < b);
    };
    std::sort(order, order + n, is_better);
    std::int64_t n_chosen = 0;
    for (std::int64_t i = 0; i < n && n_chosen < max_boxes_; ++i) {
      const Box& box = boxes[order[i]];
      const bool is_suppressed = std::any_of(chosen, chosen + n_chosen, [&](std::int64_t other) {
        return (!is_per_class_ || boxes[other].category == box.category) &&
               overlap(box, boxes[other]) > iou_threshold_;
      });
      if (!is_suppressed) chosen[n_chosen++] = order[i];
    }
    if (n_chosen == 0 && n_boxes_ > 0) {
      for (std::int64_t i = 0; i < n_boxes_; ++i) order[i] = i;
      chosen[n_chosen++] = *std::max_element(
          order, order + n_boxes_,
          [&](std::int64_t a, std::int64_t b) { return boxes[a].score < boxes[b].score; });
    }
    return n_chosen;
  }

  /// Copies entries of the chosen boxes as they are.
  void write(const StepArguments& arguments, std::int64_t image, const std::int64_t* chosen,
             std::int64_t n) const {
    const std::array<std::int64_t, 2> n_parts = {4, n_classes_};
    for (std::size_t k = 0; k < 2; ++k) {
      const TensorView& from = arguments.inputs[k];
      const TensorView& to = arguments.outputs[k];
      for (std::int64_t i = 0; i < max_boxes_; ++i) {
        for (std::int64_t part = 0; part < n_parts[k]; ++part) {
          const float value = i < n ? element(from, image, chosen[i], part, n_parts[k]) : 0.0F;
          store_floats(&value, to.dtype, to.data, offset(image, i, part, max_boxes_, n_parts[k]), 1,
                       1);
        }
      }
    }
    auto* indices = arguments.outputs[2].as<std::int32_t>() + image * max_boxes_;
    for (std::int64_t i = 0; i < max_boxes_; ++i) {
      indices[i] = i < n ? static_cast<std::int32_t>(chosen[i]) : -1;
    }
    if (!is_boxes_last_) {
      arguments.outputs[3].as<std::int32_t>()[image] = static_cast<std::int32_t>(n);
    }
  }

  bool is_boxes_last_;
  std::int64_t n_images_;
  std::int64_t n_boxes_;
  std::int64_t n_classes_;
  std::int64_t max_boxes_;
  float iou_threshold_;
  bool is_per_class_;
  float score_threshold_ = 0.0F;
};

std::unique_ptr<Step> prepare(const PrepareContext& context) {
  return std::make_unique<NonMaximumSuppression>(context);
}

}  // namespace

std::span<const KernelRecord> non_maximum_suppression_kernels() {
  static const KernelRecord records[] = {
      {.op = "non_maximum_suppression", .operands = {"boxes", "scores"}, .prepare = prepare}};
  return records;
}

}  // namespace pyane::emulator
