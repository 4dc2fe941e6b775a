#include "pyane/mil/weights.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "pyane/base/error.h"
#include "pyane/mil/blob_file.h"
#include "pyane/mil/sub_byte.h"

namespace pyane::mil {
namespace {

Constant owning(Type type, std::vector<std::byte> bytes) {
  auto owner = std::make_shared<const std::vector<std::byte>>(std::move(bytes));
  Constant constant{.type = std::move(type), .owner = nullptr, .data = {}, .strings = {}};
  constant.data = *owner;
  constant.owner = std::move(owner);
  return constant;
}

// A literal's type may leave one dimension open; the number of elements closes it.
Type with_known_dims(Type type, std::size_t count) {
  std::size_t known = 1;
  std::int64_t* unknown = nullptr;
  for (std::int64_t& dim : type.dims) {
    if (dim == kUnknownDim) {
      unknown = &dim;
    } else {
      known *= static_cast<std::size_t>(dim);
    }
  }
  if (unknown != nullptr) *unknown = known == 0 ? 0 : static_cast<std::int64_t>(count / known);
  return type;
}

bool is_aligned(std::span<const std::byte> data, std::size_t alignment) {
  return reinterpret_cast<std::uintptr_t>(data.data()) % alignment == 0;
}

Constant from_blob(const Type& type, const BlobReference& blob, const WeightFiles* files,
                   const WarningSink& warn) {
  if (files == nullptr) {
    return {.type = type, .owner = nullptr, .data = {}, .strings = {}, .is_missing = true};
  }
  const auto file = files->find(blob.path);
  if (file == files->end()) {
    std::string given;
    for (const auto& [path, unused] : *files) given += (given.empty() ? "" : ", ") + path;
    throw BlobError("weight file '" + blob.path + "' must be given with the program, got " +
                    (given.empty() ? "none" : given));
  }
  const std::span<const std::byte> data =
      read_blob(file->second.bytes, blob.path, blob.offset, type.dtype, type.dims,
                BlobStrictness::kLenient, warn);
  if (is_sub_byte(type.dtype)) {
    std::vector<std::byte> unpacked(static_cast<std::size_t>(element_count(type.dims).value_or(0)));
    unpack(data, type.dtype, unpacked);
    return owning(type, std::move(unpacked));
  }
  // Some tools pack files without alignment.
  if (!is_aligned(data, dtype_size(type.dtype))) return owning(type, {data.begin(), data.end()});
  return {.type = type, .owner = file->second.owner, .data = data, .strings = {}};
}

// Of bools, 1 for every byte that is not 0: what reads them counts on it.
Constant with_clean_bools(Constant constant) {
  const auto is_clean = [](std::byte byte) { return byte <= std::byte{1}; };
  if (constant.type.dtype != DType::kBool ||
      std::all_of(constant.data.begin(), constant.data.end(), is_clean)) {
    return constant;
  }
  std::vector<std::byte> bytes(constant.data.begin(), constant.data.end());
  for (std::byte& byte : bytes) byte = byte == std::byte{0} ? std::byte{0} : std::byte{1};
  return owning(std::move(constant.type), std::move(bytes));
}

}  // namespace

Constant to_constant(const Literal& literal, const WeightFiles* files, const WarningSink& warn) {
  if (const auto* const blob = std::get_if<BlobReference>(&literal.payload)) {
    return with_clean_bools(from_blob(literal.type, *blob, files, warn));
  }
  if (const auto* const bytes = std::get_if<TensorBytes>(&literal.payload)) {
    return with_clean_bools(owning(
        with_known_dims(literal.type, bytes->size() / dtype_size(literal.type.dtype)), *bytes));
  }
  if (const auto* const strings = std::get_if<std::vector<std::string>>(&literal.payload)) {
    return {.type = with_known_dims(literal.type, strings->size()),
            .owner = nullptr,
            .data = {},
            .strings = *strings};
  }
  throw MilVerifyError("a constant must be a tensor, got " + to_string(literal.type), "",
                       literal.location.line, literal.location.column);
}

}  // namespace pyane::mil
