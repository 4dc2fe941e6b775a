#include "pyane/mil/ops/families.h"

namespace pyane::mil::ops {
namespace {

constexpr char kFamily[] = "transformers";

// query [B, *, L, E], key [B, *, S, E], value [B, *, S, EV], attn_mask broadcasting to [B, *, L,
// S].
std::vector<Type> infer_attention(const OpContext& context) {
  const Shape& query = context.dims("query");
  const Shape& key = context.dims("key");
  const Shape& value = context.dims("value");
  const std::size_t rank = query.size();
  if (rank < 3 || key.size() != rank || value.size() != rank) {
    context.fail("query, key and value must have one rank, at least 3 ([B, *, L, E]), got " +
                 describe(context, "query", "key") + ", value " + to_string(value));
  }
  bool is_match = true;
  Shape result = query;
  for (std::size_t i = 0; is_match && i + 2 < rank; ++i) {
    is_match =
        may_equal(query[i], key[i]) && may_equal(query[i], value[i]) && may_equal(key[i], value[i]);
    result[i] = known_of(known_of(query[i], key[i]), value[i]);
  }
  if (!is_match || !may_equal(query[rank - 1], key[rank - 1]) ||
      !may_equal(key[rank - 2], value[rank - 2])) {
    context.fail("query [B, *, L, E], key [B, *, S, E] and value [B, *, S, EV] disagree, got " +
                 describe(context, "query", "key") + ", value " + to_string(value));
  }
  result[rank - 1] = value[rank - 1];
  if (context.has("attn_mask")) {
    Shape scores = result;
    scores[rank - 1] = known_of(key[rank - 2], value[rank - 2]);
    const Shape& mask = context.dims("attn_mask");
    const std::optional<Shape> both = broadcast(mask, scores);
    bool fits = both && both->size() == rank && !mask.empty();
    for (std::size_t i = 0; fits && i < rank; ++i) fits = may_equal((*both)[i], scores[i]);
    if (!fits) {
      context.fail("attn_mask must broadcast to [B, *, L, S] = " + to_string(scores) + ", got " +
                   to_string(mask));
    }
  }
  return one(context.dtype("query"), std::move(result));
}

}  // namespace

void add_transformers_ops(OpTable& table) {
  table.push_back({.name = "scaled_dot_product_attention",
                   .opset = "ios18",
                   .family = kFamily,
                   .inputs = {operand("query", kFloats, 'T'), operand("key", kFloats, 'T'),
                              operand("value", kFloats, 'T'),
                              optional_operand("attn_mask", kFloats | kBoolOnly)},
                   .infer = infer_attention});
}

}  // namespace pyane::mil::ops
