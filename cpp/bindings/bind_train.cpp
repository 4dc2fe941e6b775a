#include "array_args.h"
#include "bindings.h"
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
        check_activation_shape(kWhere, "y", y, shape);
        const bool in_place = y.data() == x.data() && is_float32(y) && is_float32(x);
        if (!in_place) check_disjoint(kWhere, "y", y, "x", x);
        const py::gil_scoped_release release;
        rmsnorm_forward(y_view, x_view, w_view, shape, eps);
      },
      "y"_a.noconvert(), "x"_a.noconvert(), "w"_a.noconvert(), py::kw_only(), "eps"_a = 1e-5F,
      R"doc(y[b,c,s] = w[c] * x[b,c,s] / sqrt(mean_c x[b,c,s]^2 + eps).

Args:
    y: float32 or float16, as x, overwritten. May be x when both are float32.
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
        check_activation_shape(kWhere, "dy", dy, shape);
        check_activation_shape(kWhere, "dx", dx, shape);
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
    dx: float32 or float16, as x. May share memory with no other argument.
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

void check_table(const char* where, const char* name, const py::array& table,
                 const ActivationShape& shape) {
  if (table.ndim() == 2 && static_cast<std::size_t>(table.shape(1)) == shape.channels) return;
  reject(where, name, "[V, " + std::to_string(shape.channels) + "]", table);
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
        check_positions(kWhere, "tokens", tokens, shape);
        check_table(kWhere, "table", table, shape);
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
        check_positions(kWhere, "tokens", tokens, shape);
        check_table(kWhere, "dtable", dtable, shape);
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

}  // namespace

void bind_train(py::module_& m) {
  auto train = m.def_submodule("train", "CPU half of training, on fp32 buffers.");
  bind_rmsnorm(train);
  bind_embedding(train);
  bind_train_loss(train);
  bind_train_adam(train);
  bind_train_queue(train);
}
