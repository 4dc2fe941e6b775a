#include <pybind11/stl.h>

#include <algorithm>
#include <functional>
#include <initializer_list>
#include <utility>
#include <vector>

#include "array_args.h"
#include "bindings.h"
#include "pyane/train/adam.h"

namespace py = pybind11;
using py::literals::operator""_a;
using namespace pyane;            // NOLINT(google-build-using-namespace)
using namespace pyane::bindings;  // NOLINT(google-build-using-namespace)

namespace {

using Halves = std::vector<std::pair<std::size_t, py::array>>;

/// Threads write them while others read and write the buffers, and each other's parts of them.
void check_halves_apart(const char* where, const Halves& halves,
                        std::initializer_list<std::pair<const char*, const py::array*>> buffers) {
  std::vector<const py::array*> arrays;
  for (const auto& [begin, values] : halves) {
    if (values.size() != 0) arrays.push_back(&values);
  }
  std::ranges::sort(arrays, std::less<>(), [](const py::array* array) { return array->data(); });
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    for (const auto& [name, buffer] : buffers) {
      check_disjoint(where, "halves", *arrays[i], name, *buffer);
    }
    if (i > 0) check_disjoint(where, "arrays of halves", *arrays[i - 1], "others", *arrays[i]);
  }
}

}  // namespace

void bind_train_adam(py::module_& train) {
  train.def(
      "adam_update",
      [](py::array& params, py::array& grads, py::array& m, py::array& v, std::int64_t step,
         double learning_rate, double beta1, double beta2, double eps, double weight_decay,
         const std::vector<std::pair<std::size_t, std::size_t>>& decayed, double grad_scale,
         bool zero_grads, Halves halves) {
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
        std::vector<HalfSegment> half_segments;
        half_segments.reserve(halves.size());
        for (auto& [begin, values] : halves) {
          half_segments.push_back(
              {.begin = begin, .values = float16_out(kWhere, "halves", values)});
        }
        check_halves_apart(kWhere, halves,
                           {{"params", &params}, {"grads", &grads}, {"m", &m}, {"v", &v}});
        const AdamOptions options = {.step = step,
                                     .learning_rate = learning_rate,
                                     .beta1 = beta1,
                                     .beta2 = beta2,
                                     .eps = eps,
                                     .weight_decay = weight_decay,
                                     .grad_scale = grad_scale,
                                     .zero_grads = zero_grads};
        const py::gil_scoped_release release;
        adam_update(params_view, grads_view, m_view, v_view, segments, options, half_segments);
      },
      "params"_a.noconvert(), "grads"_a.noconvert(), "m"_a.noconvert(), "v"_a.noconvert(),
      py::kw_only(), "step"_a, "learning_rate"_a, "beta1"_a = 0.9, "beta2"_a = 0.999,
      "eps"_a = 1e-8, "weight_decay"_a = 0.0,
      "decayed"_a = std::vector<std::pair<std::size_t, std::size_t>>(), "grad_scale"_a = 1.0,
      "zero_grads"_a = false, "halves"_a = Halves(),
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
    halves: (begin, float16 array) pairs, ascending and disjoint: each array, of any shape, is filled
        with the new params from element `begin` on, rounded half to even. The arrays share no memory.

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
