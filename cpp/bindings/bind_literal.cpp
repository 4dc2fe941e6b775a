#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <optional>

#include "bindings.h"
#include "mil_arrays.h"
#include "pyane/base/error.h"
#include "pyane/mil/limits.h"
#include "pyane/mil/printer.h"
#include "pyane/mil/program.h"

// Types and literals of MIL programs.

namespace py = pybind11;
using namespace pyane;
using namespace pyane::bindings;
using mil::Literal;
using mil::Type;

namespace {

using Dims = std::vector<std::optional<std::int64_t>>;

Shape to_shape(const Dims& dims) {
  Shape shape;
  for (const auto& dim : dims) {
    if (dim && (*dim < 0 || *dim > mil::kMaxDimension)) {
      throw ShapeError("a dimension must be None or in [0, " + std::to_string(mil::kMaxDimension) +
                       "], got " + std::to_string(*dim));
    }
    shape.push_back(dim.value_or(kUnknownDim));
  }
  if (shape.size() > mil::kMaxRank) {
    throw ShapeError("a tensor must have at most " + std::to_string(mil::kMaxRank) +
                     " dimensions, got " + std::to_string(shape.size()));
  }
  return shape;
}

py::tuple to_dims(const Shape& shape) {
  py::tuple dims(shape.size());
  for (std::size_t i = 0; i < shape.size(); ++i) {
    dims[i] = shape[i] == kUnknownDim ? py::object(py::none()) : py::int_(shape[i]);
  }
  return dims;
}

const char* kind_name(const Type& type) {
  switch (type.kind) {
    case Type::Kind::kTensor:
      return "tensor";
    case Type::Kind::kList:
      return "list";
    case Type::Kind::kDict:
      return "dict";
    case Type::Kind::kTuple:
      return "tuple";
    case Type::Kind::kState:
      return "state";
    case Type::Kind::kTensorBuffer:
      break;
  }
  return "tensor_buffer";
}

Type compound(Type::Kind kind, std::vector<Type> elements) {
  Type type;
  type.kind = kind;
  type.elements = std::move(elements);
  // What goes deeper could be printed but not parsed, and in the end not even destroyed.
  if (depth(type) >= mil::kMaxNesting) {
    throw ShapeError("a type must have fewer than " + std::to_string(mil::kMaxNesting) +
                     " levels, got " + std::to_string(depth(type)));
  }
  return type;
}

Literal tensor_literal(const py::object& object, const std::optional<std::string>& dtype_name,
                       bool short_form) {
  const py::array array = py::array::ensure(object);  // NumPy's scalars are no arrays yet.
  if (!array) throw py::error_already_set();
  const DType dtype = dtype_name ? dtype_arg(*dtype_name) : mil_dtype(array.dtype());
  const py::array checked = checked_array("Literal.tensor", array, dtype);
  Type type = Type::tensor(dtype, shape_of(checked));
  static_cast<void>(to_shape(Dims(type.dims.begin(), type.dims.end())));
  type.short_form = short_form && type.dims.empty();
  return {.type = std::move(type), .payload = bytes_of(checked), .location = {}};
}

Literal strings_literal(std::vector<std::string> strings) {
  return {.type = Type::tensor(DType::kString, {static_cast<std::int64_t>(strings.size())}),
          .payload = std::move(strings),
          .location = {}};
}

Literal string_dict(const std::vector<std::pair<std::string, std::string>>& entries) {
  Literal literal;
  literal.type.kind = Type::Kind::kDict;
  literal.type.elements = {Type::scalar(DType::kString), Type::scalar(DType::kString)};
  std::vector<Literal> items;
  for (const auto& [key, value] : entries) {
    items.push_back(Literal::of(key));
    items.push_back(Literal::of(value));
  }
  literal.payload = std::move(items);
  return literal;
}

Literal items_literal(const Type& type, std::vector<Literal> items) {
  const std::size_t n_types = type.elements.size();
  const bool is_tuple = type.kind == Type::Kind::kTuple;
  const bool is_list = type.kind == Type::Kind::kList;
  if (!is_tuple && !is_list && type.kind != Type::Kind::kDict) {
    throw ShapeError("Literal.items: type must be a list, tuple or dict, got " + to_string(type));
  }
  const bool is_right_count = is_tuple  ? items.size() == n_types
                              : is_list ? type.length == kUnknownDim ||
                                              type.length == static_cast<std::int64_t>(items.size())
                                        : items.size() % 2 == 0;
  if (!is_right_count) {
    throw ShapeError("Literal.items: " + to_string(type) + " does not have " +
                     std::to_string(items.size()) + " items");
  }
  for (std::size_t i = 0; i < items.size(); ++i) {
    const Type& expected = type.elements[is_tuple ? i : i % n_types];
    if (!mil::same_type(items[i].type, expected)) {
      throw ShapeError("Literal.items: item " + std::to_string(i) + " must be " +
                       to_string(expected) + ", got " + to_string(items[i].type));
    }
    // The text writes an item's type once, in the type of the whole.
    items[i].type = expected;
  }
  return {.type = type, .payload = std::move(items), .location = {}};
}

Literal blob_literal(const Type& type, std::string path, std::uint64_t offset) {
  if (!type.is_tensor()) {
    throw ShapeError("Literal.blob: type must be a tensor, got " + to_string(type));
  }
  return {.type = type,
          .payload = mil::BlobReference{.path = std::move(path), .offset = offset},
          .location = {}};
}

py::object value_of(const py::object& self, const Literal& literal);

py::object strings_value(const Literal& literal, const std::vector<std::string>& strings) {
  if (literal.type.is_scalar()) return py::str(strings.front());
  const py::object flat = py::cast(strings);
  if (literal.type.dims.size() == 1) return flat;
  const py::module_ numpy = py::module_::import("numpy");
  std::vector<std::int64_t> dims = literal.type.dims;  // numpy, too, infers the one that is -1.
  return numpy.attr("array")(flat, py::dtype("O")).attr("reshape")(dims).attr("tolist")();
}

py::object items_value(const py::object& self, const Literal& literal,
                       const std::vector<Literal>& items) {
  if (literal.type.kind == Type::Kind::kDict) {
    py::list entries;
    for (std::size_t i = 0; i + 1 < items.size(); i += 2) {
      entries.append(py::make_tuple(value_of(self, items[i]), value_of(self, items[i + 1])));
    }
    return py::dict(entries);
  }
  py::list values;
  for (const Literal& item : items) values.append(value_of(self, item));
  if (literal.type.kind == Type::Kind::kTuple) return py::tuple(values);
  return values;
}

py::object value_of(const py::object& self, const Literal& literal) {
  if (const auto* const items = std::get_if<std::vector<Literal>>(&literal.payload)) {
    return items_value(self, literal, *items);
  }
  if (const auto* const strings = std::get_if<std::vector<std::string>>(&literal.payload)) {
    return strings_value(literal, *strings);
  }
  if (const auto* const blob = std::get_if<mil::BlobReference>(&literal.payload)) {
    return py::cast(*blob);
  }
  const auto& bytes = std::get<mil::TensorBytes>(literal.payload);
  Shape shape = literal.type.dims;
  const auto unknown = std::find(shape.begin(), shape.end(), kUnknownDim);
  if (unknown != shape.end()) {
    *unknown = 1;
    const auto known = static_cast<std::size_t>(*element_count(shape));
    const std::size_t count = bytes.size() / dtype_size(literal.type.dtype);
    *unknown = known == 0 ? 0 : static_cast<std::int64_t>(count / known);
  }
  const py::array array = view_of(bytes.data(), literal.type.dtype, shape, self);
  return shape.empty() ? array.attr("item")() : py::object(array);
}

void bind_type(py::module_& m) {
  py::class_<Type>(m, "Type", "Type of a MIL value. Immutable.")
      .def_static(
          "tensor",
          [](const std::string& dtype, const Dims& shape) {
            return Type::tensor(dtype_arg(dtype), to_shape(shape));
          },
          py::arg("dtype"), py::arg("shape"),
          "tensor<dtype, [shape]>; None is an unknown dimension.")
      .def_static(
          "scalar", [](const std::string& dtype) { return Type::scalar(dtype_arg(dtype)); },
          py::arg("dtype"), "A tensor of rank 0, written as its element type alone.")
      .def_static(
          "list_of",
          [](const Type& element, std::optional<std::int64_t> length) {
            Type type = compound(Type::Kind::kList, {element});
            type.length = to_shape({length}).front();
            return type;
          },
          py::arg("element"), py::arg("length") = py::none())
      .def_static(
          "dict_of",
          [](const Type& key, const Type& value) {
            return compound(Type::Kind::kDict, {key, value});
          },
          py::arg("key"), py::arg("value"))
      .def_static(
          "tuple_of",
          [](std::vector<Type> items) { return compound(Type::Kind::kTuple, std::move(items)); },
          py::arg("items"))
      .def_static(
          "state",
          [](const Type& tensor) {
            if (!tensor.is_tensor()) {
              throw ShapeError("a state must hold a tensor, got " + to_string(tensor));
            }
            return compound(Type::Kind::kState, {tensor});
          },
          py::arg("tensor"))
      .def_property_readonly("kind", &kind_name,
                             "tensor, list, dict, tuple, state or tensor_buffer.")
      .def_property_readonly(
          "dtype",
          [](const Type& type) -> std::optional<std::string_view> {
            if (!type.elements.empty()) return std::nullopt;
            return dtype_name(type.dtype);
          },
          "Element type of a tensor or tensor buffer, else None.")
      .def_property_readonly(
          "shape", [](const Type& type) { return to_dims(type.dims); },
          "Dimensions of a tensor or tensor buffer; None for one that is unknown.")
      .def_property_readonly(
          "elements", [](const Type& type) { return type.elements; },
          "list: its item's type; dict: key and value; tuple: items; state: its tensor.")
      .def_property_readonly(
          "length",
          [](const Type& type) -> std::optional<std::int64_t> {
            if (type.length == kUnknownDim) return std::nullopt;
            return type.length;
          },
          "Items of a list, None when unknown.")
      .def_readonly("strides", &Type::strides, "Of a tensor buffer.")
      .def_readonly("interleave_factors", &Type::interleave_factors, "Of a tensor buffer.")
      .def_readonly("short_form", &Type::short_form, "Written `fp16`, not `tensor<fp16, []>`.")
      .def("same_type", &mil::same_type, py::arg("other"),
           "Equality that ignores how scalars are spelled.")
      .def(
          "__eq__", [](const Type& a, const Type& b) { return a == b; }, py::is_operator())
      .def("__repr__", [](const Type& type) { return to_string(type); });
}

}  // namespace

void bind_literal(py::module_& m) {
  bind_type(m);
  py::class_<mil::BlobReference>(m, "BlobReference", "Place of a tensor in a weight file.")
      .def_readonly("path", &mil::BlobReference::path)
      .def_readonly("offset", &mil::BlobReference::offset)
      .def("__repr__", [](const mil::BlobReference& blob) {
        return "BLOBFILE(path = '" + blob.path + "', offset = " + std::to_string(blob.offset) + ")";
      });
  py::class_<Literal>(m, "Literal", "A typed constant in MIL text. Immutable.")
      .def_static("tensor", &tensor_literal, py::arg("array"), py::arg("dtype") = py::none(),
                  py::kw_only(), py::arg("short_form") = true,
                  "Numbers or bools from an array of the dtype that `value` has. bf16 and fp8 are\n"
                  "given as their bits; a 0-d array makes a scalar, short or `tensor<.., []>`.")
      .def_static(
          "string", [](std::string text) { return Literal::of(std::move(text)); }, py::arg("text"))
      .def_static("strings", &strings_literal, py::arg("strings"), "tensor<string, [n]>")
      .def_static(
          "string_dict",
          [](const py::dict& entries) {
            std::vector<std::pair<std::string, std::string>> pairs;
            for (const auto& [key, value] : entries) {
              pairs.emplace_back(key.cast<std::string>(), value.cast<std::string>());
            }
            return string_dict(pairs);
          },
          py::arg("entries"), "dict<string, string>, as in `buildInfo`.")
      .def_static("items", &items_literal, py::arg("type"), py::arg("items"),
                  "List or tuple of its items; dict of key, value, key, value, ...")
      .def_static("blob", &blob_literal, py::arg("type"), py::arg("path"), py::arg("offset"))
      .def_readonly("type", &Literal::type)
      .def_property_readonly(
          "value",
          [](const py::object& self) { return value_of(self, self.cast<const Literal&>()); },
          "A Python number, bool or string for a scalar; a read-only array for a tensor (bf16 and\n"
          "fp8 as bits), a (nested) list for a tensor of strings; list, tuple, dict; or a\n"
          "BlobReference.")
      .def_property_readonly("location",
                             [](const Literal& literal) {
                               return py::make_tuple(literal.location.line,
                                                     literal.location.column);
                             })
      .def(
          "__eq__", [](const Literal& a, const Literal& b) { return a == b; }, py::is_operator())
      .def("__repr__", [](const Literal& literal) { return print(literal); });
}
