#include "array_args.h"

#include "pyane/base/error.h"

namespace py = pybind11;

namespace pyane::bindings {
namespace {

/// In elements. Only for contiguous arrays.
template <typename T>
std::span<const T> view(const py::array& array) {
  return {static_cast<const T*>(array.data()), static_cast<std::size_t>(array.size())};
}

template <typename T>
std::span<T> mutable_view(py::array& array) {
  return {static_cast<T*>(array.mutable_data()), static_cast<std::size_t>(array.size())};
}

bool is_contiguous(const py::array& array) { return (array.flags() & py::array::c_style) != 0; }

bool has_dtype(const py::array& array, char kind, py::ssize_t item_size) {
  const py::dtype dtype = array.dtype();
  // A byte order of '=' (native) or '|' (none).
  return dtype.kind() == kind && dtype.itemsize() == item_size &&
         (dtype.byteorder() == '=' || dtype.byteorder() == '|');
}

void check_contiguous(const char* where, const char* name, const py::array& array) {
  if (!is_contiguous(array)) reject(where, name, "C-contiguous (see np.ascontiguousarray)", array);
}

void check_writeable(const char* where, const char* name, const py::array& array) {
  if (!array.writeable()) reject(where, name, "writeable", array);
}

}  // namespace

std::string describe(const py::array& array) {
  std::string text = py::str(static_cast<py::object>(array.dtype())).cast<std::string>() + " [";
  for (py::ssize_t i = 0; i < array.ndim(); ++i) {
    if (i != 0) text += ", ";
    text += std::to_string(array.shape(i));
  }
  text += ']';
  if (!is_contiguous(array)) text += " with strides";
  if (!array.writeable()) text += " read-only";
  return text;
}

void reject(const char* where, const char* name, const std::string& rule, const py::array& array) {
  throw ShapeError(std::string(where) + ": " + name + " must be " + rule + ", got " +
                   describe(array));
}

bool is_float32(const py::array& array) { return has_dtype(array, 'f', 4); }
bool is_float16(const py::array& array) { return has_dtype(array, 'f', 2); }
bool is_int32(const py::array& array) { return has_dtype(array, 'i', 4); }

std::span<const float> float32_arg(const char* where, const char* name, const py::array& array) {
  if (!is_float32(array)) reject(where, name, "float32", array);
  check_contiguous(where, name, array);
  return view<float>(array);
}

std::span<float> float32_out(const char* where, const char* name, py::array& array) {
  static_cast<void>(float32_arg(where, name, array));
  check_writeable(where, name, array);
  return mutable_view<float>(array);
}

std::span<half_bits> float16_out(const char* where, const char* name, py::array& array) {
  if (!is_float16(array)) reject(where, name, "float16", array);
  check_contiguous(where, name, array);
  check_writeable(where, name, array);
  return mutable_view<half_bits>(array);
}

std::span<const std::int32_t> int32_arg(const char* where, const char* name,
                                        const py::array& array) {
  if (!is_int32(array)) reject(where, name, "int32", array);
  check_contiguous(where, name, array);
  return view<std::int32_t>(array);
}

ConstFloats floats_arg(const char* where, const char* name, const py::array& array) {
  const bool half = is_float16(array);
  if (!half && !is_float32(array)) reject(where, name, "float32 or float16", array);
  check_contiguous(where, name, array);
  return half ? ConstFloats(view<half_bits>(array)) : ConstFloats(view<float>(array));
}

Floats floats_out(const char* where, const char* name, py::array& array) {
  static_cast<void>(floats_arg(where, name, array));
  check_writeable(where, name, array);
  return is_float16(array) ? Floats(mutable_view<half_bits>(array))
                           : Floats(mutable_view<float>(array));
}

ActivationShape activation_shape(const char* where, const char* name, const py::array& array) {
  const py::ssize_t rank = array.ndim();
  const bool engine_layout = rank == 4 && array.shape(2) == 1;
  if (rank != 2 && rank != 3 && !engine_layout) {
    reject(where, name, "[C, S], [B, C, S] or [B, C, 1, S]", array);
  }
  const py::ssize_t channels_axis = rank == 2 ? 0 : 1;
  return {.batch = rank == 2 ? 1 : static_cast<std::size_t>(array.shape(0)),
          .channels = static_cast<std::size_t>(array.shape(channels_axis)),
          .positions = static_cast<std::size_t>(array.shape(rank - 1))};
}

void check_activation_shape(const char* where, const char* name, const py::array& array,
                            const ActivationShape& shape) {
  const ActivationShape got = activation_shape(where, name, array);
  if (got.batch == shape.batch && got.channels == shape.channels &&
      got.positions == shape.positions) {
    return;
  }
  reject(where, name,
         "[B, C, S] = [" + std::to_string(shape.batch) + ", " + std::to_string(shape.channels) +
             ", " + std::to_string(shape.positions) + "]",
         array);
}

void check_positions(const char* where, const char* name, const py::array& array,
                     const ActivationShape& shape) {
  const auto size = [&](py::ssize_t axis) { return static_cast<std::size_t>(array.shape(axis)); };
  const bool flat = array.ndim() == 1 && size(0) == shape.batch * shape.positions;
  const bool fits = array.ndim() == 2 && size(0) == shape.batch && size(1) == shape.positions;
  if (flat || fits) return;
  reject(where, name,
         "[B, S] = [" + std::to_string(shape.batch) + ", " + std::to_string(shape.positions) +
             "] or flat",
         array);
}

void check_disjoint(const char* where, const char* out_name, const py::array& out,
                    const char* other_name, const py::array& other) {
  const auto* out_begin = static_cast<const std::byte*>(out.data());
  const auto* other_begin = static_cast<const std::byte*>(other.data());
  const bool apart = std::less_equal<>()(out_begin + out.nbytes(), other_begin) ||
                     std::less_equal<>()(other_begin + other.nbytes(), out_begin);
  if (apart) return;
  throw ShapeError(std::string(where) + ": " + out_name + " and " + other_name +
                   " must not share memory");
}

}  // namespace pyane::bindings
