#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "pyane/mil/program.h"
#include "pyane/mil/weights.h"

// A function as the rules look at it: who makes and who uses each value, constants decoded on
// demand. Built from the text alone, by declared types, so that operations which pyane does not
// know hide nothing; tolerant of anything that parses. Operations of nested blocks are in line.

namespace pyane::chip {

class RangeAnalysis;
struct Range;

/// An operand: a value of the function, or a literal written in its place.
struct InputView {
  int value = -1;  ///< Index into values(); -1 for a literal or unknown name.
  const mil::Literal* literal = nullptr;  ///< The literal, or that of a `const` it names.
  const mil::Type* type = nullptr;        ///< nullptr: unknown name.
  mil::Location location;

  /// Dimensions of a tensor; empty for anything else.
  const Shape& dims() const;
  std::size_t rank() const { return dims().size(); }
};

struct OpView {
  int index = 0;
  const mil::Operation* operation = nullptr;
  /// Every operand, in order; `names` has the argument each belongs to.
  std::vector<InputView> inputs;
  std::vector<std::string_view> names;
  std::vector<int> outputs;

  std::string_view type() const { return operation->type; }
  /// First operand of an argument, or an attribute's literal; nullptr when absent.
  const InputView* input(std::string_view name) const;
};

struct ValueView {
  std::string_view name;
  const mil::Type* type = nullptr;
  const mil::Literal* literal = nullptr;  ///< Of a `const`.
  int producer = -1;                      ///< Index into operations(); -1 for parameters.
  /// As `producer`, looking through operations that only move elements (reshape, transpose, ...).
  int origin = -1;
  bool is_parameter = false;
  bool is_output = false;
  bool is_constant = false;  ///< `const`, or a constexpr operation.
  mil::Location location;
  std::vector<int> consumers;  ///< Operations, each once.

  const Shape& dims() const;
};

class FunctionView {
 public:
  FunctionView(const mil::Function& function, const mil::WeightFiles& weights);
  ~FunctionView();
  FunctionView(const FunctionView&) = delete;
  FunctionView& operator=(const FunctionView&) = delete;

  const mil::Function& function() const { return function_; }
  const std::vector<OpView>& operations() const { return operations_; }
  const std::vector<ValueView>& values() const { return values_; }
  /// Operations of a type, in order.
  const std::vector<int>& operations_of(std::string_view type) const;
  /// Of several types, in order of the text.
  std::vector<const OpView*> operations_of(std::initializer_list<std::string_view> types) const;
  /// Values returned by the function; -1 for what is not a known name.
  const std::vector<int>& outputs() const { return outputs_; }

  const ValueView* value_of(const InputView& input) const;
  const ValueView& result(const OpView& op, std::size_t i = 0) const;
  /// The operation that computes an operand; nullptr for parameters, constants and literals.
  const OpView* producer_of(const InputView& input) const;
  /// As above, looking through operations that only move elements.
  const OpView* origin_of(const InputView& input) const;
  /// Known before evaluation: a literal, a `const`, the result of a constexpr operation.
  bool is_constant(const InputView& input) const;

  // Compile-time arguments; nullopt when absent, computed, or not of that kind.
  std::optional<std::vector<std::int64_t>> integers(const OpView& op, std::string_view name) const;
  std::optional<std::int64_t> integer(const OpView& op, std::string_view name) const;
  std::optional<double> real(const OpView& op, std::string_view name) const;
  std::optional<bool> boolean(const OpView& op, std::string_view name) const;
  std::optional<std::string> string(const OpView& op, std::string_view name) const;

  /// The value of a constant (weight files included); nullptr when not known.
  const mil::Constant* constant(const mil::Literal& literal) const;

  /// Proven range of a tensor's elements (ranges.h).
  Range range(const InputView& input) const;
  const RangeAnalysis& ranges() const;

 private:
  void add_block(const mil::Block& block);
  void add_operation(const mil::Operation& operation);
  int origin_of_results(const OpView& op) const;
  InputView resolve(const mil::Operand& operand) const;
  InputView resolve(const mil::Literal& literal) const;
  int add_value(const mil::Value& value);

  const mil::Function& function_;
  const mil::WeightFiles& weights_;
  std::vector<OpView> operations_;
  std::vector<ValueView> values_;
  std::vector<int> outputs_;
  std::unordered_map<std::string_view, int> names_;
  std::unordered_map<std::string_view, std::vector<int>> by_type_;
  mutable std::unordered_map<const mil::Literal*, std::shared_ptr<const mil::Constant>> constants_;
  mutable std::unique_ptr<RangeAnalysis> ranges_;
};

/// Moves elements about without changing them: reshape, transpose, slices, ...
bool only_moves_elements(std::string_view op_type);

}  // namespace pyane::chip
