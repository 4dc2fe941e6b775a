#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>
#include <vector>

#include "pyane/base/half.h"
#include "pyane/emulator/kernels/blockwise.h"
#include "pyane/emulator/kernels/registry.h"
#include "pyane/mil/sub_byte.h"

// Lookup tables and sparse weights. Their operands are constants, so the planner runs these steps
// once, when compiling; what follows reads dense weights.

namespace pyane::emulator {
namespace {

/// Elements of `bits` bits, the first in the low bits of the first byte, as one byte each.
std::vector<std::byte> unpacked(const std::byte* packed, std::int64_t n_bytes, int bits,
                                std::int64_t n) {
  static constexpr std::pair<int, DType> kTypes[] = {
      {1, DType::kUint1}, {2, DType::kUint2}, {4, DType::kUint4}, {6, DType::kUint6}};
  std::vector<std::byte> result(static_cast<std::size_t>(n));
  for (const auto& [width, dtype] : kTypes) {
    if (width != bits) continue;
    mil::unpack(std::span(packed, static_cast<std::size_t>(n_bytes)), dtype, result);
    return result;
  }
  std::copy_n(packed, n, result.begin());
  return result;
}

/// Indices and the table that each of them looks into: table[group][index][vector].
struct Lookup {
  Shape dims;  ///< Of the indices.
  BlockIndex groups;
  std::int64_t n_palettes;
  std::int64_t vector;  ///< Elements of one entry.
  std::size_t axis;     ///< Along which an entry is laid out.
  std::size_t bytes;    ///< Of an element.

  /// Writes what `indices` stand for; `out` has vector * dims[axis] along `axis`.
  void run(const std::uint8_t* indices, const std::byte* table, std::byte* out) const {
    std::int64_t inner = 1;  // Elements behind `axis`.
    for (std::size_t i = axis + 1; i < dims.size(); ++i) inner *= dims[i];
    const std::int64_t length = groups.length();
    for (std::int64_t row = 0; row < groups.n_rows(); ++row) {
      const std::int64_t first = groups.first(row);
      for (std::int64_t j = 0; j < length; ++j) {
        const std::int64_t at = row * length + j;
        const std::int64_t group = first + j / groups.run();
        const std::byte* entry =
            table + static_cast<std::size_t>((group * n_palettes + indices[at]) * vector) * bytes;
        // (outer, along, rest) of the index becomes (outer, along * vector + v, rest).
        const std::int64_t target = at / inner * vector * inner + at % inner;
        for (std::int64_t v = 0; v < vector; ++v) {
          std::memcpy(out + static_cast<std::size_t>(target + v * inner) * bytes,
                      entry + static_cast<std::size_t>(v) * bytes, bytes);
        }
      }
    }
  }
};

Lookup make_lookup(const PrepareContext& context, const Shape& dims, const TensorView& table) {
  const Shape lut = table.shape();
  const Shape groups(lut.begin(), lut.end() - 2);
  const bool has_axis = context.op.has("vector_axis");
  return {.dims = dims,
          .groups = BlockIndex(dims, groups),
          .n_palettes = lut[lut.size() - 2],
          .vector = lut.back(),
          .axis = has_axis ? static_cast<std::size_t>(context.op.axis("vector_axis", dims.size()))
                           : dims.size() - 1,
          .bytes = table.element_bytes()};
}

class LutToDense final : public Step {
 public:
  LutToDense(Lookup lookup, int packed_bits) : lookup_(std::move(lookup)), bits_(packed_bits) {}

  void run(const StepArguments& arguments) const override {
    const TensorView& indices = arguments.inputs[0];
    const std::byte* table = arguments.inputs[1].data;
    std::byte* out = arguments.outputs[0].data;
    if (bits_ == 0) return lookup_.run(indices.as<const std::uint8_t>(), table, out);
    const std::vector<std::byte> unpacked_indices =
        unpacked(indices.data, indices.count(), bits_, arguments.outputs[0].count());
    lookup_.run(reinterpret_cast<const std::uint8_t*>(unpacked_indices.data()), table, out);
  }

 private:
  Lookup lookup_;
  int bits_;  ///< iOS16's form: indices of this many bits in a vector of bytes. 0: iOS18's form.
};

std::unique_ptr<Step> prepare_lut_to_dense(const PrepareContext& context) {
  const TensorView& indices = context.inputs[0];
  const TensorView& table = context.inputs[1];
  if (!context.op.has("shape")) {
    return std::make_unique<LutToDense>(make_lookup(context, indices.shape(), table), 0);
  }
  const Shape dims = context.outputs[0].shape();
  const auto n_palettes = static_cast<std::uint64_t>(table.dim(0));
  // One row: the table is the same everywhere.
  const Shape flat = {context.outputs[0].count()};
  return std::make_unique<LutToDense>(Lookup{.dims = flat,
                                             .groups = BlockIndex(flat, {1}),
                                             .n_palettes = table.dim(0),
                                             .vector = 1,
                                             .axis = 0,
                                             .bytes = table.element_bytes()},
                                      std::bit_width(n_palettes) - 1);
}

std::int64_t ones(const std::uint8_t* mask, std::int64_t n) {
  return n - std::count(mask, mask + n, std::uint8_t{0});
}

void require_ones(const PrepareContext& context, const char* mask, std::int64_t n_ones,
                  const char* data, const TensorLayout& values) {
  if (n_ones == values.count()) return;
  context.op.fail(std::string(mask) + " has " + std::to_string(n_ones) + " ones, " + data +
                  " has " + std::to_string(values.count()) + " elements");
}

/// values[k] where the mask has its k-th one, zero elsewhere.
class SparseToDense final : public Step {
 public:
  explicit SparseToDense(std::vector<std::byte> mask) : mask_(std::move(mask)) {}

  void run(const StepArguments& arguments) const override {
    const std::size_t bytes = arguments.outputs[0].element_bytes();
    const std::byte* value = arguments.inputs[0].data;
    std::byte* out = arguments.outputs[0].data;
    std::memset(out, 0, mask_.size() * bytes);
    for (std::size_t i = 0; i < mask_.size(); ++i) {
      if (mask_[i] == std::byte{0}) continue;
      std::memcpy(out + i * bytes, value, bytes);
      value += bytes;
    }
  }
  bool reads_input(std::size_t i) const override { return i == 0; }

 private:
  std::vector<std::byte> mask_;
};

std::unique_ptr<Step> prepare_sparse_to_dense(const PrepareContext& context) {
  const TensorView& mask = context.inputs[1];
  const int bits = context.op.has("shape") ? 1 : 8;
  std::vector<std::byte> bytes =
      unpacked(mask.data, mask.count(), bits, context.outputs[0].count());
  const auto* unpacked_mask = reinterpret_cast<const std::uint8_t*>(bytes.data());
  require_ones(context, "mask", ones(unpacked_mask, context.outputs[0].count()), "nonzero_data",
               context.inputs[0]);
  return std::make_unique<SparseToDense>(std::move(bytes));
}

/// The mask of the dense result, and its elements where the mask is one.
class LutToSparse final : public Step {
 public:
  explicit LutToSparse(Lookup lookup) : lookup_(std::move(lookup)) {}

  void run(const StepArguments& arguments) const override {
    const TensorView& mask = arguments.inputs[0];
    const auto n = static_cast<std::size_t>(mask.count());
    std::vector<std::uint8_t> indices(n, 0);
    const auto* bits = mask.as<const std::uint8_t>();
    const auto* next = arguments.inputs[1].as<const std::uint8_t>();
    for (std::size_t i = 0; i < n; ++i) {
      if (bits[i] != 0) indices[i] = *next++;
    }
    const std::size_t bytes = lookup_.bytes;
    std::vector<std::byte> dense(n * static_cast<std::size_t>(lookup_.vector) * bytes);
    lookup_.run(indices.data(), arguments.inputs[2].data, dense.data());

    // The mask is looked up in a table of its own: ones and zeros for every element of an entry.
    Lookup mask_lookup = lookup_;
    mask_lookup.groups = BlockIndex(lookup_.dims, Shape(lookup_.dims.size(), 1));
    mask_lookup.n_palettes = 2;
    mask_lookup.bytes = 1;
    std::vector<std::byte> table(2 * static_cast<std::size_t>(lookup_.vector), std::byte{0});
    std::fill(table.begin() + lookup_.vector, table.end(), std::byte{1});
    std::byte* out_mask = arguments.outputs[0].data;
    mask_lookup.run(bits, table.data(), out_mask);

    std::byte* out = arguments.outputs[1].data;
    for (std::size_t i = 0; i < dense.size() / bytes; ++i) {
      if (out_mask[i] == std::byte{0}) continue;
      std::memcpy(out, dense.data() + i * bytes, bytes);
      out += bytes;
    }
  }

 private:
  Lookup lookup_;
};

std::unique_ptr<Step> prepare_lut_to_sparse(const PrepareContext& context) {
  const TensorView& mask = context.inputs[0];
  require_ones(context, "indices_mask", ones(mask.as<const std::uint8_t>(), mask.count()),
               "indices_nonzero_data", context.inputs[1]);
  return std::make_unique<LutToSparse>(make_lookup(context, mask.shape(), context.inputs[2]));
}

/// fp16 to fp32, exact.
class Widen final : public Step {
 public:
  void run(const StepArguments& arguments) const override {
    half_to_float(arguments.inputs[0].as<const half_bits>(), arguments.outputs[0].as<float>(),
                  static_cast<std::size_t>(arguments.inputs[0].count()));
  }
};

std::unique_ptr<Step> prepare_cast(const PrepareContext&) { return std::make_unique<Widen>(); }

}  // namespace

std::span<const KernelRecord> constexpr_kernels() {
  static const std::vector<KernelRecord> records = {
      {.op = "constexpr_cast", .operands = {"source_val"}, .prepare = prepare_cast},
      {.op = "constexpr_lut_to_dense",
       .operands = {"indices", "lut"},
       .prepare = prepare_lut_to_dense},
      {.op = "constexpr_lut_to_sparse",
       .operands = {"indices_mask", "indices_nonzero_data", "lut"},
       .prepare = prepare_lut_to_sparse},
      {.op = "constexpr_sparse_to_dense",
       .operands = {"nonzero_data", "mask"},
       .prepare = prepare_sparse_to_dense},
  };
  return records;
}

}  // namespace pyane::emulator
