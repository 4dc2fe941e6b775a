#include "pyane/mil/cost.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string_view>
#include <utility>

#include "pyane/mil/sub_byte.h"

namespace pyane::mil {
namespace {

using Flops = std::optional<double>;

/// Types of an operation's inputs and results.
class Operands {
 public:
  Operands(const VerifiedFunction& function, const VerifiedOperation& operation)
      : function_(function), operation_(operation), context_(function.context(operation)) {}

  std::string_view name() const { return operation_.record->name; }
  std::string_view family() const { return operation_.record->family; }
  const OpContext& context() const { return context_; }
  const VerifiedOperation& operation() const { return operation_; }
  const VerifiedFunction& function() const { return function_; }

  const Type* input(std::string_view name) const {
    const VerifiedInput* const found = operation_.find_input(name);
    return found == nullptr || found->values.empty() ? nullptr : &type(found->values.front());
  }
  const Shape* dims(std::string_view name) const {
    const Type* const found = input(name);
    return found == nullptr ? nullptr : &found->dims;
  }
  Flops elements(std::string_view name) const {
    const Shape* const found = dims(name);
    return found == nullptr ? Flops(0) : product(*found);
  }
  /// Of the first result.
  Flops results() const {
    return operation_.outputs.empty() ? Flops(0) : product(type(operation_.outputs.front()).dims);
  }

  static Flops product(const Shape& dims, std::size_t from = 0) {
    double n = 1;
    for (std::size_t i = from; i < dims.size(); ++i) {
      if (dims[i] == kUnknownDim) return std::nullopt;
      n *= static_cast<double>(dims[i]);
    }
    return n;
  }

 private:
  const Type& type(ValueId id) const { return function_.values[static_cast<std::size_t>(id)].type; }

  const VerifiedFunction& function_;
  const VerifiedOperation& operation_;
  OpContext context_;
};

Flops times(const Flops& a, const Flops& b) { return a && b ? Flops(*a * *b) : std::nullopt; }
Flops times(double a, const Flops& b) { return times(Flops(a), b); }
Flops plus(const Flops& a, const Flops& b) { return a && b ? Flops(*a + *b) : std::nullopt; }

Flops bias(const Operands& o) { return o.dims("bias") == nullptr ? Flops(0) : o.results(); }

// Every result is a dot product over input channels of its group and window.
Flops conv(const Operands& o) {
  const Shape* const weight = o.dims("weight");
  if (weight == nullptr) return std::nullopt;
  return plus(times(2, times(o.results(), Operands::product(*weight, 1))), bias(o));
}

// Every element of x is multiplied by its channel's windows.
Flops conv_transpose(const Operands& o) {
  const Shape* const weight = o.dims("weight");
  if (weight == nullptr) return std::nullopt;
  return plus(times(2, times(o.elements("x"), Operands::product(*weight, 1))), bias(o));
}

Flops linear(const Operands& o) {
  const Shape* const x = o.dims("x");
  if (x == nullptr || x->empty() || x->back() == kUnknownDim) return std::nullopt;
  return plus(times(2.0 * static_cast<double>(x->back()), o.results()), bias(o));
}

Flops matmul(const Operands& o) {
  const Shape* const x = o.dims("x");
  if (x == nullptr || x->empty()) return std::nullopt;
  const bool is_transposed = x->size() > 1 && o.context().boolean("transpose_x");
  const std::int64_t inner = is_transposed ? (*x)[x->size() - 2] : x->back();
  if (inner == kUnknownDim) return std::nullopt;
  return times(2.0 * static_cast<double>(inner), o.results());
}

// One multiply-add for every combination of the letters of the equation.
Flops einsum(const Operands& o) {
  const std::string equation = o.context().string("equation");
  const VerifiedInput* const values = o.operation().find_input("values");
  if (values == nullptr) return std::nullopt;
  std::map<char, std::int64_t> sizes;
  std::size_t at = 0;
  for (const ValueId id : values->values) {
    const Shape& dims = o.function().values[static_cast<std::size_t>(id)].type.dims;
    for (const std::int64_t dim : dims) {
      while (at < equation.size() && equation[at] == ' ') ++at;
      if (at >= equation.size()) return std::nullopt;
      sizes[equation[at++]] = dim;
    }
    while (at < equation.size() && (equation[at] == ' ' || equation[at] == ',')) ++at;
  }
  double count = 2;
  for (const auto& [letter, size] : sizes) {
    if (size == kUnknownDim) return std::nullopt;
    count *= static_cast<double>(size);
  }
  return count;
}

// query [.., L, E], key [.., S, E], value [.., S, V]: two products, a softmax over S, a scale.
Flops attention(const Operands& o) {
  const Shape* const query = o.dims("query");
  const Shape* const key = o.dims("key");
  const Shape* const value = o.dims("value");
  if (query == nullptr || key == nullptr || value == nullptr || query->size() < 2 ||
      key->size() < 2 || value->size() < 2) {
    return std::nullopt;
  }
  const std::int64_t e = query->back();
  const std::int64_t s = (*key)[key->size() - 2];
  const std::int64_t v = value->back();
  if (e == kUnknownDim || s == kUnknownDim || v == kUnknownDim) return std::nullopt;
  const Flops rows = Operands::product(Shape(query->begin(), query->end() - 1));
  const double of_score = 2.0 * static_cast<double>(e + v) + 6 + (o.input("attn_mask") ? 1 : 0);
  return times(of_score * static_cast<double>(s), rows);
}

// x [S, B, I]: every step multiplies by both matrices of each direction.
Flops recurrent(const Operands& o) {
  const Shape* const x = o.dims("x");
  if (x == nullptr || x->size() != 3) return std::nullopt;
  Flops weights(0);
  for (const char* const name : {"weight_ih", "weight_hh", "weight_ih_back", "weight_hh_back"}) {
    if (o.input(name) != nullptr) weights = plus(weights, o.elements(name));
  }
  return times(2, times(weights, Operands::product(Shape(x->begin(), x->end() - 1))));
}

Flops pool(const Operands& o) {
  double window = 1;
  for (const std::int64_t size : o.context().integers("kernel_sizes")) {
    window *= static_cast<double>(size);
  }
  return times(window, o.results());
}

Flops local_response_norm(const Operands& o) {
  return times(2.0 * static_cast<double>(o.context().integer("size")) + 4, o.results());
}

Flops block_flops(const VerifiedFunction& function, const VerifiedBlock& block) {
  Flops sum(0);
  for (const VerifiedOperation& operation : block.operations) {
    sum = plus(sum, flops(function, operation));
  }
  return sum;
}

Flops control(const Operands& o) {
  Flops worst(0);
  Flops sum(0);
  for (const VerifiedBlock& block : o.operation().blocks) {
    const Flops inside = block_flops(o.function(), block);
    sum = plus(sum, inside);
    worst = worst && inside ? Flops(std::max(*worst, *inside)) : std::nullopt;
  }
  return o.name() == "while_loop" ? sum : worst;
}

using Formula = Flops (*)(const Operands&);
struct NamedFormula {
  std::string_view op;
  Formula formula;
};
constexpr NamedFormula kFormulas[] = {
    {"cond", control},
    {"conv", conv},
    {"conv_transpose", conv_transpose},
    {"einsum", einsum},
    {"gru", recurrent},
    {"linear", linear},
    {"local_response_norm", local_response_norm},
    {"lstm", recurrent},
    {"matmul", matmul},
    {"rnn", recurrent},
    {"scaled_dot_product_attention", attention},
    {"while_loop", control},
};

// Steps on each element of the result.
struct Steps {
  std::string_view op;
  double per_result;
};
constexpr Steps kSteps[] = {
    {"affine", 7},      // Bilinear: three linear interpolations and the position.
    {"batch_norm", 2},  // Scale and offset, known beforehand.
    {"cast", 0},
    {"crop", 0},
    {"crop_resize", 7},
    {"cumsum", 1},
    {"dequantize", 2},
    {"instance_norm", 8},  // Mean, difference, square, sum, root, quotient, scale, offset.
    {"l2_norm", 3},
    {"layer_norm", 8},
    {"quantize", 2},
    {"resample", 7},
    {"resize", 7},
    {"resize_bilinear", 7},
    {"resize_nearest_neighbor", 0},
    {"softmax", 5},  // Maximum, difference, exponential, sum, quotient.
    {"upsample_bilinear", 7},
    {"upsample_nearest_neighbor", 0},
};

// Steps on each element of x, for reductions.
constexpr Steps kReductionSteps[] = {
    {"reduce_l1_norm", 2},     {"reduce_l2_norm", 2},    {"reduce_log_sum", 1},
    {"reduce_log_sum_exp", 3}, {"reduce_sum_square", 2},
};

/// Families whose operations count one per element of the result unless listed above.
constexpr std::string_view kElementwise[] = {"activation", "elementwise_binary",
                                             "elementwise_unary", "normalization"};

template <std::size_t N>
std::optional<double> find_steps(const Steps (&table)[N], std::string_view op) {
  const auto found = std::ranges::find(table, op, &Steps::op);
  return found == std::end(table) ? std::nullopt : std::optional(found->per_result);
}

std::optional<std::uint64_t> bytes_of(const Type& type) {
  const Type& tensor = type.kind == Type::Kind::kState ? type.elements.front() : type;
  const auto count = element_count(tensor.dims);
  if (!count) return std::nullopt;
  return static_cast<std::uint64_t>(*count) * dtype_size(tensor.dtype);
}

void add(std::optional<std::uint64_t>& sum, const std::optional<std::uint64_t>& bytes) {
  sum = sum && bytes ? std::optional(*sum + *bytes) : std::nullopt;
}

/// Values that an operation, or one in its blocks, reads.
void collect_reads(const VerifiedOperation& operation, std::vector<ValueId>& reads) {
  for (const VerifiedInput& input : operation.inputs) {
    reads.insert(reads.end(), input.values.begin(), input.values.end());
  }
  for (const VerifiedBlock& block : operation.blocks) {
    for (const VerifiedOperation& inner : block.operations) collect_reads(inner, reads);
    reads.insert(reads.end(), block.outputs.begin(), block.outputs.end());
  }
}

std::optional<std::uint64_t> peak_bytes(const VerifiedFunction& function) {
  // 0: never read. Outputs live in surfaces, not here.
  std::vector<std::size_t> last_use(function.values.size(), 0);
  std::vector<std::vector<ValueId>> reads(function.operations.size());
  for (std::size_t i = 0; i < function.operations.size(); ++i) {
    collect_reads(function.operations[i], reads[i]);
    for (const ValueId id : reads[i]) last_use[static_cast<std::size_t>(id)] = i;
  }
  const std::set<ValueId> outputs(function.outputs.begin(), function.outputs.end());
  std::uint64_t now = 0;
  std::uint64_t peak = 0;
  std::vector<std::uint64_t> held(function.values.size(), 0);
  for (std::size_t i = 0; i < function.operations.size(); ++i) {
    const VerifiedOperation& operation = function.operations[i];
    std::vector<ValueId> done = reads[i];
    for (const ValueId id : operation.outputs) {
      const VerifiedValue& value = function.values[static_cast<std::size_t>(id)];
      const bool is_state = value.type.kind == Type::Kind::kState;
      if (value.is_constexpr || value.constant != nullptr || is_state || outputs.contains(id)) {
        continue;
      }
      const auto bytes = bytes_of(value.type);
      if (!bytes) return std::nullopt;
      held[static_cast<std::size_t>(id)] = *bytes;
      now += *bytes;
      if (last_use[static_cast<std::size_t>(id)] == 0) done.push_back(id);
    }
    peak = std::max(peak, now);
    for (const ValueId id : done) {
      const auto at = static_cast<std::size_t>(id);
      if (last_use[at] > i) continue;
      now -= std::exchange(held[at], 0);
    }
  }
  return peak;
}

// ---- weights

using Seen = std::map<std::pair<std::string, std::uint64_t>, const Type*>;

void collect(const Literal& literal, Seen& seen) {
  if (const auto* const blob = std::get_if<BlobReference>(&literal.payload)) {
    seen.emplace(std::pair(blob->path, blob->offset), &literal.type);
  } else if (const auto* const items = std::get_if<std::vector<Literal>>(&literal.payload)) {
    for (const Literal& item : *items) collect(item, seen);
  }
}

void collect(const Block& block, Seen& seen) {
  for (const Operation& operation : block.operations) {
    for (const Attribute& attribute : operation.attributes) collect(attribute.value, seen);
    for (const Argument& argument : operation.arguments) {
      for (const Operand& operand : argument.operands) {
        if (!operand.is_name()) collect(operand.literal(), seen);
      }
    }
    for (const Block& nested : operation.blocks) collect(nested, seen);
  }
}

}  // namespace

std::optional<double> flops(const VerifiedFunction& function, const VerifiedOperation& operation) {
  const Operands o(function, operation);
  if (operation.record->is_constexpr) return 0;
  if (const auto named = std::ranges::find(kFormulas, o.name(), &NamedFormula::op);
      named != std::end(kFormulas)) {
    return named->formula(o);
  }
  if (const auto steps = find_steps(kSteps, o.name())) return times(*steps, o.results());
  if (o.family() == "pool") return pool(o);
  if (o.family() == "reduction") {
    return times(find_steps(kReductionSteps, o.name()).value_or(1), o.elements("x"));
  }
  // Every update is added, multiplied, ...
  if (o.name().starts_with("scatter")) return o.elements("updates");
  const bool is_elementwise = std::ranges::find(kElementwise, o.family()) != std::end(kElementwise);
  return is_elementwise ? o.results() : Flops(0);
}

Cost cost(const VerifiedFunction& function) {
  Cost cost{.operations = {},
            .input_bytes = 0,
            .output_bytes = 0,
            .state_bytes = 0,
            .peak_activation_bytes = peak_bytes(function)};
  for (const VerifiedOperation& operation : function.operations) {
    cost.operations.push_back({.operation = &operation, .flops = flops(function, operation)});
  }
  const auto type_of = [&](ValueId id) -> const Type& {
    return function.values[static_cast<std::size_t>(id)].type;
  };
  for (const ValueId id : function.parameters) {
    const Type& type = type_of(id);
    add(type.kind == Type::Kind::kState ? cost.state_bytes : cost.input_bytes, bytes_of(type));
  }
  for (const ValueId id : function.outputs) add(cost.output_bytes, bytes_of(type_of(id)));
  return cost;
}

std::vector<WeightGroup> weights(const Function& function) {
  Seen seen;
  collect(function.body, seen);
  std::map<DType, WeightGroup> groups;
  for (const auto& [place, type] : seen) {
    const auto count = element_count(type->dims);
    if (!count) continue;
    WeightGroup& group = groups[type->dtype];
    group.dtype = type->dtype;
    ++group.n_tensors;
    group.n_bytes += packed_bytes(type->dtype, static_cast<std::uint64_t>(*count));
  }
  std::vector<WeightGroup> list;
  for (const auto& [dtype, group] : groups) list.push_back(group);
  return list;
}

}  // namespace pyane::mil
