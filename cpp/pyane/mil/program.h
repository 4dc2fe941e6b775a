#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "pyane/base/dtype.h"
#include "pyane/base/shape.h"

// A MIL program as written: names and literals, nothing resolved yet. Words as in Apple's
// MIL.proto (program, function, block, operation, value, attribute). `parse` makes one,
// `print` writes one, `verify` checks one. Value semantics throughout; thread-compatible.

namespace pyane::mil {

/// Where something stands in the text, from 1; 0 for a program that was not parsed. Positions take
/// no part in comparing programs.
struct Location {
  int line = 0;
  int column = 0;
  friend bool operator==(const Location&, const Location&) { return true; }
};

/// The type of a value.
struct Type {
  enum class Kind : std::uint8_t { kTensor, kList, kDict, kTuple, kState, kTensorBuffer };

  Kind kind = Kind::kTensor;
  /// kTensor, kTensorBuffer: element type.
  DType dtype = DType::kFp16;
  /// kTensor, kTensorBuffer: dimensions, kUnknownDim for `?`; empty for a scalar.
  Shape dims;
  /// kTensor of rank 0 only: written `fp16` rather than `tensor<fp16, []>`. The two mean the same;
  /// kept so that printing gives back what was read. Compare types with `same_type`.
  bool short_form = false;
  /// kList: {element}; kDict: {key, value}; kTuple: items; kState: {tensor}.
  std::vector<Type> elements;
  /// kList: number of elements, kUnknownDim for `?` or when not written.
  std::int64_t length = kUnknownDim;
  /// kTensorBuffer: memory layout; kTensorBuffer's `shape=` is `dims`.
  std::vector<std::int64_t> strides;
  std::vector<std::int64_t> interleave_factors;

  static Type tensor(DType dtype, Shape dims);
  /// `fp16`, `string`, ... in the short form.
  static Type scalar(DType dtype);

  bool is_tensor() const { return kind == Kind::kTensor; }
  bool is_scalar() const { return kind == Kind::kTensor && dims.empty(); }
  friend bool operator==(const Type&, const Type&) = default;
};

/// Equality that ignores how scalars are spelled.
bool same_type(const Type& a, const Type& b);

using pyane::to_string;  // Shapes; the declaration below would hide it.

/// MIL text of a type, e.g. "tensor<fp16, [1, 64, 1, 256]>".
std::string to_string(const Type& type);

/// `BLOBFILE(path = ..., offset = ...)`: a tensor kept in a weight file.
struct BlobReference {
  std::string path;          ///< As written, e.g. "@model_path/weights/weight.bin".
  std::uint64_t offset = 0;  ///< Byte offset of the tensor's metadata record.
  /// Written `string("...")`, `uint64(64)` rather than `tensor<string, []>("...")` and so on: as
  /// for Type::short_form, kept so that printing gives back what was read.
  bool short_form = true;
  friend bool operator==(const BlobReference&, const BlobReference&) = default;
};

/// Numbers of a tensor literal: row-major, little endian, dtype_size(type.dtype) bytes each
/// (sub-byte integers and bool take one byte each).
using TensorBytes = std::vector<std::byte>;

/// A typed constant in the text. A tensor of numbers or bools, a tensor of strings, a reference
/// into a weight file, or a list / tuple / dict of literals (dict: key, value, key, value, ...).
/// At most one dimension of a tensor's type is `?`; it follows from the number of elements.
struct Literal {
  Type type;
  std::variant<TensorBytes, std::vector<std::string>, BlobReference, std::vector<Literal>> payload;
  Location location;

  static Literal of(bool value);
  static Literal of(std::int64_t value, DType dtype = DType::kInt32);
  static Literal of(double value, DType dtype);
  static Literal of(std::string value);
  /// tensor<int32, [n]>
  static Literal of(const std::vector<std::int64_t>& values);

  friend bool operator==(const Literal&, const Literal&) = default;
};

/// One operand: the name of a value, or a literal written in its place.
struct Operand {
  std::variant<std::string, Literal> value;
  Location location;
  bool is_name() const { return std::holds_alternative<std::string>(value); }
  const std::string& name() const { return std::get<std::string>(value); }
  const Literal& literal() const { return std::get<Literal>(value); }
  friend bool operator==(const Operand&, const Operand&) = default;
};

/// `x = a` or `values = (a, b, c)`.
struct Argument {
  std::string name;
  std::vector<Operand> operands;  ///< Exactly one unless `is_tuple`.
  bool is_tuple = false;
  Location location;
  friend bool operator==(const Argument&, const Argument&) = default;
};

/// `[name = literal]`.
struct Attribute {
  std::string name;
  Literal value;
  Location location;
  friend bool operator==(const Attribute&, const Attribute&) = default;
};

/// A declared value: a function's parameter or an operation's result.
struct Value {
  Type type;
  std::string name;
  Location location;
  friend bool operator==(const Value&, const Value&) = default;
};

struct Operation;

/// Operations in order and the values they hand out. `name` and `parameters` are used by blocks
/// nested in an operation (cond, while_loop), not by a function's body.
struct Block {
  std::string name;
  std::vector<Value> parameters;
  std::vector<Operation> operations;
  std::vector<Operand> outputs;
  friend bool operator==(const Block&, const Block&) = default;
};

/// `results = type<opset>(arguments)[attributes];`
struct Operation {
  std::string type;   ///< "conv", "const", ...
  std::string opset;  ///< "ios17" in `cast<ios17>(...)`; empty when not written.
  std::vector<Value> outputs;
  std::vector<Argument> arguments;
  std::vector<Attribute> attributes;
  std::vector<Block> blocks;
  Location location;

  const Argument* find_argument(std::string_view argument) const;
  const Attribute* find_attribute(std::string_view attribute) const;
  /// The `name` attribute, else the first result's name: for messages.
  std::string display_name() const;
  friend bool operator==(const Operation&, const Operation&) = default;
};

/// `func main<ios18>(parameters) [attributes] { body } -> (outputs);`
struct Function {
  std::string name;
  std::string opset;
  std::vector<Value> parameters;
  std::vector<Attribute> attributes;
  Block body;
  Location location;
  friend bool operator==(const Function&, const Function&) = default;
};

/// `program(1.3) [attributes] { functions }`
struct Program {
  std::string version;  ///< "1.0", "1.3"
  std::vector<Attribute> attributes;
  std::vector<Function> functions;
  /// For messages only: the file the text came from, "<text>" otherwise.
  std::string source_name = "<text>";

  const Function* find_function(std::string_view function) const;
  friend bool operator==(const Program& a, const Program& b) {
    return a.version == b.version && a.attributes == b.attributes && a.functions == b.functions;
  }
};

/// The function of that name; empty: the only one, or "main".
/// @throws CompileError  there is none of that name, or several and none is "main"; lists them.
const Function& choose_function(const Program& program, const std::string& name);

}  // namespace pyane::mil
