#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace pyane {

/// Element types of MIL text. Order is free; names and widths come from one table (dtype.cpp).
enum class DType : std::uint8_t {
  kFp16,
  kFp32,
  kFp64,
  kBf16,
  kFp8E4M3FN,
  kFp8E5M2,
  kBool,
  kString,
  kInt4,
  kInt8,
  kInt16,
  kInt32,
  kInt64,
  kUint1,
  kUint2,
  kUint3,
  kUint4,
  kUint6,
  kUint8,
  kUint16,
  kUint32,
  kUint64,
};

enum class DTypeKind : std::uint8_t { kFloat, kSigned, kUnsigned, kBool, kString };

struct DTypeInfo {
  DType dtype;
  std::string_view name;  ///< As in MIL text: "fp16", "uint4", "bool", ...
  DTypeKind kind;
  int bits;  ///< Width in a blob file; 0 for string. bool is 8.
};

/// Never fails: every enumerator has a row.
const DTypeInfo& dtype_info(DType dtype);

/// nullopt for a name that is no MIL element type.
std::optional<DType> dtype_from_name(std::string_view name);

inline std::string_view dtype_name(DType dtype) { return dtype_info(dtype).name; }

/// Bytes of one element in memory. Sub-byte integers occupy one byte each once unpacked; 0 for
/// string.
inline std::size_t dtype_size(DType dtype) {
  return static_cast<std::size_t>((dtype_info(dtype).bits + 7) / 8);
}

inline bool is_float(DType dtype) { return dtype_info(dtype).kind == DTypeKind::kFloat; }
inline bool is_integer(DType dtype) {
  const DTypeKind kind = dtype_info(dtype).kind;
  return kind == DTypeKind::kSigned || kind == DTypeKind::kUnsigned;
}

}  // namespace pyane
