#include <pybind11/stl.h>

#include <utility>
#include <vector>

#include "array_args.h"
#include "bindings.h"
#include "pyane/base/error.h"
#include "pyane/train/adam.h"
#include "pyane/train/classifier.h"
#include "pyane/train/cross_entropy.h"
#include "pyane/train/embedding.h"
#include "pyane/train/rmsnorm.h"

namespace py = pybind11;
using py::literals::operator""_a;
using namespace pyane;            // NOLINT(google-build-using-namespace)
using namespace pyane::bindings;  // NOLINT(google-build-using-namespace)

namespace {

void bind_rmsnorm(py::module_& train) {
  train.def(
      "rmsnorm_forward",
      [](py::array& y, const py::array& x, const py::array& w, float eps) {
        constexpr const char* kWhere = "rmsnorm_forward";
        const ActivationShape shape = activation_shape(kWhere, "x", x);
        const ConstFloats x_view = floats_arg(kWhere, "x", x);
        const auto w_view = float32_arg(kWhere, "w", w);
        const Floats y_view = floats_out(kWhere, "y", y);
        const bool in_place = y.data() == x.data() && is_float32(y) && is_float32(x);
        if (!in_place) check_disjoint(kWhere, "y", y, "x", x);
        const py::gil_scoped_release release;
        rmsnorm_forward(y_view, x_view, w_view, shape, eps);
      },
      "y"_a.noconvert(), "x"_a.noconvert(), "w"_a.noconvert(), py::kw_only(), "eps"_a = 1e-5F,
      R"doc(y[b,c,s] = w[c] * x[b,c,s] / sqrt(mean_c x[b,c,s]^2 + eps).

Args:
    y: float32 or float16 of x's number of elements, overwritten. May be x when both are float32.
    x: float32 or float16 [C, S], [B, C, S] or [B, C, 1, S].
    w: float32 [C].
    eps: Added to the mean square.

Raises:
    ShapeError: A dtype, a shape, or memory shared by x and y.
)doc");
  train.def(
      "rmsnorm_backward",
      [](py::array& dx, py::array& dw, const py::array& dy, const py::array& x, const py::array& w,
         float eps, bool accumulate_dx, float dw_scale) {
        constexpr const char* kWhere = "rmsnorm_backward";
        const ActivationShape shape = activation_shape(kWhere, "x", x);
        const ConstFloats x_view = floats_arg(kWhere, "x", x);
        const ConstFloats dy_view = floats_arg(kWhere, "dy", dy);
        const auto w_view = float32_arg(kWhere, "w", w);
        const Floats dx_view = floats_out(kWhere, "dx", dx);
        const auto dw_view = float32_out(kWhere, "dw", dw);
        check_disjoint(kWhere, "dx", dx, "x", x);
        check_disjoint(kWhere, "dx", dx, "dy", dy);
        check_disjoint(kWhere, "dx", dx, "w", w);
        check_disjoint(kWhere, "dx", dx, "dw", dw);
        const RmsnormBackwardOptions options = {
            .eps = eps, .accumulate_dx = accumulate_dx, .dw_scale = dw_scale};
        const py::gil_scoped_release release;
        rmsnorm_backward(dx_view, dw_view, dy_view, x_view, w_view, shape, options);
      },
      "dx"_a.noconvert(), "dw"_a.noconvert(), "dy"_a.noconvert(), "x"_a.noconvert(),
      "w"_a.noconvert(), py::kw_only(), "eps"_a = 1e-5F, "accumulate_dx"_a = false,
      "dw_scale"_a = 1.0F,
      R"doc(Gradient of rmsnorm_forward; with r = 1 / sqrt(mean_c x^2 + eps) and g = w * dy:

    dx  = r * (g - x * r^2 / C * sum_c g * x)      (dx += with accumulate_dx)
    dw += dw_scale * sum_{b,s} dy * x * r

Args:
    dx: float32 or float16 of x's number of elements. May share memory with no other argument.
    dw: float32 [C], added to.
    dy: float32 or float16, as x.
    x: float32 or float16 [C, S], [B, C, S] or [B, C, 1, S]: the input of the forward pass.
    w: float32 [C].
    eps: As in the forward pass.
    accumulate_dx: Add to dx, for the gradient of a residual stream.
    dw_scale: Factor on what is added to dw, to undo a loss scale.

Raises:
    ShapeError: A dtype, a shape, or shared memory.
)doc");
}

std::size_t vocab_axis(const char* where, const py::array& logits) {
  if (logits.ndim() < 2) reject(where, "logits", "[N, V] or [B, S, V]", logits);
  return static_cast<std::size_t>(logits.shape(logits.ndim() - 1));
}

py::tuple to_tuple(const CrossEntropy& result) {
  return py::make_tuple(result.mean(), result.n_counted);
}

void bind_cross_entropy(py::module_& train) {
  train.def(
      "cross_entropy_forward",
      [](const py::array& logits, const py::array& targets) {
        constexpr const char* kWhere = "cross_entropy_forward";
        const std::size_t vocab_size = vocab_axis(kWhere, logits);
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
        const std::size_t vocab_size = vocab_axis(kWhere, logits);
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

/// Logits [N, V] or [B, S, V] must have one row per position of x; V is the rows of w.
void check_logits(const char* where, const char* name, const py::array& logits,
                  const ActivationShape& shape, const py::array& w) {
  const bool fits = logits.ndim() >= 2 && w.ndim() == 2 &&
                    logits.shape(logits.ndim() - 1) == w.shape(0) &&
                    static_cast<std::size_t>(w.shape(1)) == shape.channels;
  if (fits) return;
  throw ShapeError(std::string(where) + ": " + name + " must be [N, V] or [B, S, V] and w [V, " +
                   std::to_string(shape.channels) + "], got " + describe(logits) + " and " +
                   describe(w));
}

void bind_classifier(py::module_& train) {
  train.def(
      "classifier_forward",
      [](py::array& logits, const py::array& x, const py::array& w) {
        constexpr const char* kWhere = "classifier_forward";
        const ActivationShape shape = activation_shape(kWhere, "x", x);
        check_logits(kWhere, "logits", logits, shape, w);
        const auto logits_view = float32_out(kWhere, "logits", logits);
        const auto x_view = float32_arg(kWhere, "x", x);
        const auto w_view = float32_arg(kWhere, "w", w);
        check_disjoint(kWhere, "logits", logits, "x", x);
        check_disjoint(kWhere, "logits", logits, "w", w);
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
        const ActivationShape shape = activation_shape(kWhere, "dx", dx);
        check_logits(kWhere, "dlogits", dlogits, shape, w);
        const auto dx_view = float32_out(kWhere, "dx", dx);
        const auto dlogits_view = float32_arg(kWhere, "dlogits", dlogits);
        const auto w_view = float32_arg(kWhere, "w", w);
        check_disjoint(kWhere, "dx", dx, "dlogits", dlogits);
        check_disjoint(kWhere, "dx", dx, "w", w);
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
        const ActivationShape shape = activation_shape(kWhere, "x", x);
        check_logits(kWhere, "dlogits", dlogits, shape, dw);
        const auto dw_view = float32_out(kWhere, "dw", dw);
        const auto dlogits_view = float32_arg(kWhere, "dlogits", dlogits);
        const auto x_view = float32_arg(kWhere, "x", x);
        check_disjoint(kWhere, "dw", dw, "dlogits", dlogits);
        check_disjoint(kWhere, "dw", dw, "x", x);
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

void bind_embedding(py::module_& train) {
  train.def(
      "embedding_forward",
      [](py::array& x, const py::array& table, const py::array& tokens) {
        constexpr const char* kWhere = "embedding_forward";
        const ActivationShape shape = activation_shape(kWhere, "x", x);
        const Floats x_view = floats_out(kWhere, "x", x);
        const auto table_view = float32_arg(kWhere, "table", table);
        const auto tokens_view = int32_arg(kWhere, "tokens", tokens);
        check_disjoint(kWhere, "x", x, "table", table);
        const py::gil_scoped_release release;
        embedding_forward(x_view, table_view, tokens_view, shape);
      },
      "x"_a.noconvert(), "table"_a.noconvert(), "tokens"_a.noconvert(),
      R"doc(x[b,c,s] = table[tokens[b,s], c].

Args:
    x: float32 or float16 [C, S], [B, C, S] or [B, C, 1, S], overwritten.
    table: float32 [V, C].
    tokens: int32 [S] or [B, S].

Raises:
    ShapeError: A dtype, a shape, or a token outside [0, V) (with its position).
)doc");
  train.def(
      "embedding_backward",
      [](py::array& dtable, const py::array& dx, const py::array& tokens, float scale) {
        constexpr const char* kWhere = "embedding_backward";
        const ActivationShape shape = activation_shape(kWhere, "dx", dx);
        const auto dtable_view = float32_out(kWhere, "dtable", dtable);
        const ConstFloats dx_view = floats_arg(kWhere, "dx", dx);
        const auto tokens_view = int32_arg(kWhere, "tokens", tokens);
        check_disjoint(kWhere, "dtable", dtable, "dx", dx);
        const py::gil_scoped_release release;
        embedding_backward(dtable_view, dx_view, tokens_view, shape, scale);
      },
      "dtable"_a.noconvert(), "dx"_a.noconvert(), "tokens"_a.noconvert(), py::kw_only(),
      "scale"_a = 1.0F,
      R"doc(dtable[tokens[b,s], c] += scale * dx[b,c,s], in the order of positions.

Args:
    dtable: float32 [V, C], added to. Wait for queued weight gradients of the same array first.
    dx: float32 or float16 [C, S], [B, C, S] or [B, C, 1, S].
    tokens: int32 [S] or [B, S].
    scale: Factor on dx, to undo a loss scale.

Raises:
    ShapeError: A dtype, a shape, or a token outside [0, V) (with its position).
)doc");
}

void bind_adam(py::module_& train) {
  train.def(
      "adam_update",
      [](py::array& params, py::array& grads, py::array& m, py::array& v, std::int64_t step,
         double learning_rate, double beta1, double beta2, double eps, double weight_decay,
         const std::vector<std::pair<std::size_t, std::size_t>>& decayed, double grad_scale,
         bool zero_grads) {
        constexpr const char* kWhere = "adam_update";
        const auto params_view = float32_out(kWhere, "params", params);
        const auto grads_view = float32_out(kWhere, "grads", grads);
        const auto m_view = float32_out(kWhere, "m", m);
        const auto v_view = float32_out(kWhere, "v", v);
        check_disjoint(kWhere, "params", params, "grads", grads);
        check_disjoint(kWhere, "params", params, "m", m);
        check_disjoint(kWhere, "params", params, "v", v);
        check_disjoint(kWhere, "m", m, "grads", grads);
        check_disjoint(kWhere, "v", v, "grads", grads);
        check_disjoint(kWhere, "m", m, "v", v);
        std::vector<Segment> segments;
        segments.reserve(decayed.size());
        for (const auto& [begin, end] : decayed) segments.push_back({.begin = begin, .end = end});
        const AdamOptions options = {.step = step,
                                     .learning_rate = learning_rate,
                                     .beta1 = beta1,
                                     .beta2 = beta2,
                                     .eps = eps,
                                     .weight_decay = weight_decay,
                                     .grad_scale = grad_scale,
                                     .zero_grads = zero_grads};
        const py::gil_scoped_release release;
        adam_update(params_view, grads_view, m_view, v_view, segments, options);
      },
      "params"_a.noconvert(), "grads"_a.noconvert(), "m"_a.noconvert(), "v"_a.noconvert(),
      py::kw_only(), "step"_a, "learning_rate"_a, "beta1"_a = 0.9, "beta2"_a = 0.999,
      "eps"_a = 1e-8, "weight_decay"_a = 0.0,
      "decayed"_a = std::vector<std::pair<std::size_t, std::size_t>>(), "grad_scale"_a = 1.0,
      "zero_grads"_a = false,
      R"doc(One step of AdamW over flat buffers, in one pass.

Args:
    params: float32 [n], updated.
    grads: float32 [n]; written only with zero_grads.
    m: float32 [n], first moments, updated.
    v: float32 [n], second moments, updated.
    step: Number of this update, from 1.
    learning_rate: Multiplies the weight decay too, as in PyTorch.
    beta1: Decay of m.
    beta2: Decay of v.
    eps: Added to sqrt(v / (1 - beta2^step)).
    weight_decay: Decoupled weight decay of the elements in `decayed`.
    decayed: (begin, end) element ranges, ascending and disjoint.
    grad_scale: Factor on every gradient: 1 / loss scale, 1 / micro-batches, clipping.
    zero_grads: Leave grads 0 for the next step.

Raises:
    ShapeError: A dtype, a length, shared memory, an option or a range that does not fit.
)doc");
  train.def(
      "global_norm",
      [](const py::array& grads) {
        const auto view = float32_arg("global_norm", "grads", grads);
        const py::gil_scoped_release release;
        return global_norm(view);
      },
      "grads"_a.noconvert(),
      "sqrt(sum of squares) of a float32 array, summed in fp64; not finite exactly when an element "
      "is not.");
  train.def(
      "unscale",
      [](py::array& grads, float scale) {
        const auto view = float32_out("unscale", "grads", grads);
        const py::gil_scoped_release release;
        return unscale(view, scale);
      },
      "grads"_a.noconvert(), "scale"_a,
      "grads *= scale in place (float32); False if an element was, or became, NaN or infinite.");
  train.def(
      "has_nonfinite",
      [](const py::array& values) {
        const auto view = float32_arg("has_nonfinite", "values", values);
        const py::gil_scoped_release release;
        return has_nonfinite(view);
      },
      "values"_a.noconvert(), "True if an element of a float32 array is NaN or infinite.");
}

}  // namespace

void bind_train(py::module_& m) {
  auto train = m.def_submodule("train", "CPU half of training, on fp32 buffers.");
  bind_rmsnorm(train);
  bind_cross_entropy(train);
  bind_classifier(train);
  bind_embedding(train);
  bind_adam(train);
  bind_train_queue(train);
}
