#include "pyane/mil/ops/families.h"

namespace pyane::mil::ops {
namespace {

constexpr char kFamily[] = "linear";

// NumPy's rules: a vector x is a row, a vector y a column, and the unit axis goes away again.
std::vector<Type> infer_matmul(const OpContext& context) {
  Shape x = context.dims("x");
  Shape y = context.dims("y");
  if (x.empty() || y.empty()) {
    context.fail("x and y must have rank 1 at least, got " + describe(context, "x", "y"));
  }
  const bool transpose_x = context.boolean("transpose_x");
  const bool transpose_y = context.boolean("transpose_y");
  const bool x_is_vector = x.size() == 1;
  const bool y_is_vector = y.size() == 1;
  if (x_is_vector && transpose_x) context.fail("transpose_x must be false for a vector x");
  if (y_is_vector && transpose_y) context.fail("transpose_y must be false for a vector y");
  if (x_is_vector) x.insert(x.begin(), 1);
  if (y_is_vector) y.push_back(1);
  if (transpose_x) std::swap(x[x.size() - 1], x[x.size() - 2]);
  if (transpose_y) std::swap(y[y.size() - 1], y[y.size() - 2]);

  const std::int64_t k_x = x.back();
  const std::int64_t k_y = y[y.size() - 2];
  if (!may_equal(k_x, k_y)) {
    context.fail(describe(context, "x", "y") + " disagree: " + std::to_string(k_x) + " != " +
                 std::to_string(k_y) + " (transpose_x=" + (transpose_x ? "true" : "false") +
                 ", transpose_y=" + (transpose_y ? "true" : "false") + ")");
  }
  const std::optional<Shape> batch =
      broadcast(Shape(x.begin(), x.end() - 2), Shape(y.begin(), y.end() - 2));
  if (!batch) {
    context.fail(describe(context, "x", "y") + " do not broadcast in their leading dimensions");
  }
  Shape result = *batch;
  if (!x_is_vector) result.push_back(x[x.size() - 2]);
  if (!y_is_vector) result.push_back(y.back());
  return one(context.dtype("x"), std::move(result));
}

std::vector<Type> infer_linear(const OpContext& context) {
  require_rank(context, "weight", 2, 2);
  Shape result = context.dims("x");
  if (result.empty()) context.fail("x must have rank 1 at least, got a scalar");
  const Shape& weight = context.dims("weight");
  if (!may_equal(result.back(), weight[1])) {
    context.fail(describe(context, "x", "weight") + " disagree: " + std::to_string(result.back()) +
                 " != " + std::to_string(weight[1]));
  }
  if (context.has("bias")) {
    require_rank(context, "bias", 1, 1);
    if (!may_equal(context.dims("bias")[0], weight[0])) {
      context.fail("bias must have one entry per row of weight, got " +
                   describe(context, "bias", "weight"));
    }
  }
  result.back() = weight[0];
  return one(context.dtype("x"), std::move(result));
}

// "abc,bcd->abd": one letter per dimension, no letter twice in a term, letters that only one term
// has go into the result. coremltools makes only "nchw,nwhu->nchu" and "chw,whr->chr" of these;
// dimensions of size 1 broadcast.
std::vector<Type> infer_einsum(const OpContext& context) {
  const std::string equation = context.string("equation");
  const auto& types = context.types("values");
  if (types.size() != 2)
    context.fail("values must be two tensors, got " + std::to_string(types.size()));
  const std::size_t comma = equation.find(',');
  const std::size_t arrow = equation.find("->");
  if (comma == std::string::npos || arrow == std::string::npos || comma > arrow) {
    context.fail("equation must read \"a,b->c\", got \"" + equation + "\"");
  }
  const std::string terms[3] = {equation.substr(0, comma),
                                equation.substr(comma + 1, arrow - comma - 1),
                                equation.substr(arrow + 2)};
  const auto dim_of = [&](char letter) {
    std::int64_t dim = kUnknownDim;
    bool is_found = false;
    for (std::size_t i = 0; i < 2; ++i) {
      const std::size_t at = terms[i].find(letter);
      if (at == std::string::npos) continue;
      is_found = true;
      const std::int64_t here = types[i]->dims[at];
      if (dim == 1 || dim == kUnknownDim) {
        dim = dim == 1 && here == kUnknownDim ? dim : here;
      } else if (here != 1 && !may_equal(dim, here)) {
        context.fail("values disagree in '" + std::string(1, letter) + "': " + std::to_string(dim) +
                     " != " + std::to_string(here));
      }
    }
    if (!is_found) {
      context.fail("equation \"" + equation + "\" has '" + std::string(1, letter) +
                   "' on its right side only");
    }
    return dim;
  };
  for (std::size_t i = 0; i < 2; ++i) {
    if (terms[i].size() != types[i]->dims.size()) {
      context.fail("\"" + terms[i] + "\" must have one letter per dimension of " +
                   to_string(types[i]->dims));
    }
  }
  for (const std::string& term : terms) {
    for (std::size_t i = 0; i < term.size(); ++i) {
      const bool is_letter =
          (term[i] >= 'a' && term[i] <= 'z') || (term[i] >= 'A' && term[i] <= 'Z');
      if (!is_letter || term.find(term[i], i + 1) != std::string::npos) {
        context.fail("equation must name each dimension of a term by a letter of its own, got \"" +
                     equation + "\"");
      }
    }
  }
  Shape result;
  for (std::size_t i = 0; i < 2; ++i) {
    for (const char letter : terms[i]) {
      dim_of(letter);
      if (terms[1 - i].find(letter) == std::string::npos &&
          terms[2].find(letter) == std::string::npos) {
        context.fail("equation \"" + equation + "\" has '" + std::string(1, letter) +
                     "' in one value only, so it must be in the result");
      }
    }
  }
  for (const char letter : terms[2]) result.push_back(dim_of(letter));
  return one(types[0]->dtype, std::move(result));
}

}  // namespace

void add_linear_ops(OpTable& table) {
  table.push_back(
      {.name = "einsum",
       .opset = "ios15",
       .family = kFamily,
       .inputs = {operand_tuple("values", kFloats, 'T'), constant("equation", kStringOnly)},
       .infer = infer_einsum});
  table.push_back({.name = "linear",
                   .opset = "ios15",
                   .family = kFamily,
                   .inputs = {operand("x", kNumbers, 'T'), operand("weight", kNumbers, 'T'),
                              optional_operand("bias", kNumbers, 'T')},
                   .infer = infer_linear});
  table.back().inputs[1].is_constant = true;
  table.back().inputs[2].is_constant = true;
  table.push_back({.name = "matmul",
                   .opset = "ios15",
                   .family = kFamily,
                   .inputs = {operand("x", kNumbers, 'T'), operand("y", kNumbers, 'T'),
                              optional_constant("transpose_x", kBoolOnly, false),
                              optional_constant("transpose_y", kBoolOnly, false)},
                   .infer = infer_matmul});
}

}  // namespace pyane::mil::ops
