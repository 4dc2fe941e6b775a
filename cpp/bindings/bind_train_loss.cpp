#include "array_args.h"
#include "bindings.h"
#include "pyane/base/error.h"
#include "pyane/train/classifier.h"
#include "pyane/train/cross_entropy.h"

namespace py = pybind11;
using py::literals::operator""_a;
using namespace pyane;            // NOLINT(google-build-using-namespace)
using namespace pyane::bindings;  // NOLINT(google-build-using-namespace)

namespace {

/// An argument and what messages call it.
struct Named {
  const char* name;
  const py::array& array;
};

/// Logits are [B * S, V] or [B, S, V] for the B and S of the activation x, w is [V, C], and `out`,
/// the one of the three that is written to, shares no memory with the others.
ActivationShape check_classifier(const char* where, const Named& logits, const Named& x,
                                 const Named& w, const Named& out) {
  const ActivationShape shape = activation_shape(where, x.name, x.array);
  const auto size = [](const Named& of, py::ssize_t axis) {
    return static_cast<std::size_t>(of.array.shape(axis));
  };
  const py::ssize_t rank = logits.array.ndim();
  const bool rows_fit =
      (rank == 2 && size(logits, 0) == shape.batch * shape.positions) ||
      (rank == 3 && size(logits, 0) == shape.batch && size(logits, 1) == shape.positions);
  if (!rows_fit || w.array.ndim() != 2 || size(w, 1) != shape.channels ||
      size(logits, rank - 1) != size(w, 0)) {
    throw ShapeError(std::string(where) + ": for B, C, S = " + std::to_string(shape.batch) + ", " +
                     std::to_string(shape.channels) + ", " + std::to_string(shape.positions) +
                     ", " + logits.name + " must be [B * S, V] or [B, S, V] and " + w.name +
                     " [V, C], got " + describe(logits.array) + " and " + describe(w.array));
  }
  for (const Named* other : {&logits, &x, &w}) {
    if (other != &out) check_disjoint(where, out.name, out.array, other->name, other->array);
  }
  return shape;
}

void bind_classifier(py::module_& train) {
  train.def(
      "classifier_forward",
      [](py::array& logits, const py::array& x, const py::array& w) {
        constexpr const char* kWhere = "classifier_forward";
        const Named out{"logits", logits};
        const ActivationShape shape = check_classifier(kWhere, out, {"x", x}, {"w", w}, out);
        const auto logits_view = float32_out(kWhere, "logits", logits);
        const auto x_view = float32_arg(kWhere, "x", x);
        const auto w_view = float32_arg(kWhere, "w", w);
        const py::gil_scoped_release release;
        classifier_forward(logits_view, x_view, w_view, shape);
      },
      "logits"_a.noconvert(), "x"_a.noconvert(), "w"_a.noconvert(),
      R"doc(logits[b,s,v] = sum_c x[b,c,s] * w[v,c].

Args:
    logits: float32 [B * S, V] or [B, S, V], overwritten.
    x: float32 [C, S], [B, C, S] or [B, C, 1, S].
    w: float32 [V, C].

Raises:
    ShapeError: A dtype, a shape, or shared memory.
)doc");
  train.def(
      "classifier_backward",
      [](py::array& dx, const py::array& dlogits, const py::array& w) {
        constexpr const char* kWhere = "classifier_backward";
        const Named out{"dx", dx};
        const ActivationShape shape =
            check_classifier(kWhere, {"dlogits", dlogits}, out, {"w", w}, out);
        const auto dx_view = float32_out(kWhere, "dx", dx);
        const auto dlogits_view = float32_arg(kWhere, "dlogits", dlogits);
        const auto w_view = float32_arg(kWhere, "w", w);
        const py::gil_scoped_release release;
        classifier_backward(dx_view, dlogits_view, w_view, shape);
      },
      "dx"_a.noconvert(), "dlogits"_a.noconvert(), "w"_a.noconvert(),
      R"doc(dx[b,c,s] = sum_v w[v,c] * dlogits[b,s,v].

Args:
    dx: float32 [C, S], [B, C, S] or [B, C, 1, S], overwritten.
    dlogits: float32 [B * S, V] or [B, S, V].
    w: float32 [V, C].

Raises:
    ShapeError: A dtype, a shape, or shared memory.
)doc");
  train.def(
      "classifier_weight_gradient",
      [](py::array& dw, const py::array& dlogits, const py::array& x, float scale) {
        constexpr const char* kWhere = "classifier_weight_gradient";
        const Named out{"dw", dw};
        const ActivationShape shape =
            check_classifier(kWhere, {"dlogits", dlogits}, {"x", x}, out, out);
        const auto dw_view = float32_out(kWhere, "dw", dw);
        const auto dlogits_view = float32_arg(kWhere, "dlogits", dlogits);
        const auto x_view = float32_arg(kWhere, "x", x);
        const py::gil_scoped_release release;
        classifier_weight_gradient(dw_view, dlogits_view, x_view, shape, scale);
      },
      "dw"_a.noconvert(), "dlogits"_a.noconvert(), "x"_a.noconvert(), py::kw_only(),
      "scale"_a = 1.0F,
      R"doc(dw[v,c] += scale * sum_{b,s} dlogits[b,s,v] * x[b,c,s].

`WeightGradientQueue.submit(dw, dlogits, x, positions_first_dy=True)` does it asynchronously.

Args:
    dw: float32 [V, C], added to.
    dlogits: float32 [B * S, V] or [B, S, V].
    x: float32 [C, S], [B, C, S] or [B, C, 1, S].
    scale: Factor, to undo a loss scale.

Raises:
    ShapeError: A dtype, a shape, or shared memory.
)doc");
}

/// V, from logits [N, V] with targets [N], or [B, S, V] with [B, S] or flat.
std::size_t vocab_axis(const char* where, const py::array& logits, const py::array& targets) {
  const py::ssize_t rank = logits.ndim();
  if (rank != 2 && rank != 3) reject(where, "logits", "[N, V] or [B, S, V]", logits);
  const auto size = [&](py::ssize_t axis) { return static_cast<std::size_t>(logits.shape(axis)); };
  if (rank == 2) {
    if (targets.ndim() != 1 || targets.shape(0) != logits.shape(0)) {
      reject(where, "targets", "[N] = [" + std::to_string(size(0)) + "]", targets);
    }
  } else {
    check_positions(where, "targets", targets, {.batch = size(0), .positions = size(1)});
  }
  return size(rank - 1);
}

py::tuple to_tuple(const CrossEntropy& result) {
  return py::make_tuple(result.mean(), result.n_counted);
}

void bind_cross_entropy(py::module_& train) {
  train.def(
      "cross_entropy_forward",
      [](const py::array& logits, const py::array& targets) {
        constexpr const char* kWhere = "cross_entropy_forward";
        const std::size_t vocab_size = vocab_axis(kWhere, logits, targets);
        const auto logits_view = float32_arg(kWhere, "logits", logits);
        const auto targets_view = int32_arg(kWhere, "targets", targets);
        CrossEntropy result;
        {
          const py::gil_scoped_release release;
          result = cross_entropy_forward(logits_view, targets_view, vocab_size);
        }
        return to_tuple(result);
      },
      "logits"_a.noconvert(), "targets"_a.noconvert(),
      R"doc(Mean negative log-likelihood (nats) of targets under softmax(logits).

Args:
    logits: float32 [N, V] or [B, S, V].
    targets: int32 [N] or [B, S]; negative ones are ignored.

Returns:
    (mean over the counted targets, 0.0 if there is none; number of counted targets).

Raises:
    ShapeError: A dtype, a shape, or a target of V or more (with its position).
)doc");
  train.def(
      "cross_entropy_forward_backward",
      [](py::array& logits, const py::array& targets, float gradient_scale) {
        constexpr const char* kWhere = "cross_entropy_forward_backward";
        const std::size_t vocab_size = vocab_axis(kWhere, logits, targets);
        const auto logits_view = float32_out(kWhere, "logits", logits);
        const auto targets_view = int32_arg(kWhere, "targets", targets);
        CrossEntropy result;
        {
          const py::gil_scoped_release release;
          result =
              cross_entropy_forward_backward(logits_view, targets_view, vocab_size, gradient_scale);
        }
        return to_tuple(result);
      },
      "logits"_a.noconvert(), "targets"_a.noconvert(), py::kw_only(), "gradient_scale"_a = 1.0F,
      R"doc(As cross_entropy_forward, and overwrites the logits with their gradient:

    dlogits[n] = gradient_scale / n_counted * (softmax(logits[n]) - onehot(targets[n]))

and 0 where the target is ignored. Nothing is overwritten when a target is out of range.

Args:
    logits: float32 [N, V] or [B, S, V], overwritten.
    targets: int32 [N] or [B, S]; negative ones are ignored.
    gradient_scale: The loss scale.

Returns:
    (mean over the counted targets, 0.0 if there is none; number of counted targets).

Raises:
    ShapeError: A dtype, a shape, or a target of V or more (with its position).
)doc");
}

}  // namespace

void bind_train_loss(py::module_& train) {
  bind_classifier(train);
  bind_cross_entropy(train);
}
