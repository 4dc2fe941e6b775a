#include "pyane/base/dtype.h"

#include <array>

namespace pyane {
namespace {

// Indexed by the enumerator's value; checked below.
constexpr std::array<DTypeInfo, 22> kTable = {{
    {DType::kFp16, "fp16", DTypeKind::kFloat, 16},
    {DType::kFp32, "fp32", DTypeKind::kFloat, 32},
    {DType::kFp64, "fp64", DTypeKind::kFloat, 64},
    {DType::kBf16, "bf16", DTypeKind::kFloat, 16},
    {DType::kFp8E4M3FN, "fp8e4m3fn", DTypeKind::kFloat, 8},
    {DType::kFp8E5M2, "fp8e5m2", DTypeKind::kFloat, 8},
    {DType::kBool, "bool", DTypeKind::kBool, 8},
    {DType::kString, "string", DTypeKind::kString, 0},
    {DType::kInt4, "int4", DTypeKind::kSigned, 4},
    {DType::kInt8, "int8", DTypeKind::kSigned, 8},
    {DType::kInt16, "int16", DTypeKind::kSigned, 16},
    {DType::kInt32, "int32", DTypeKind::kSigned, 32},
    {DType::kInt64, "int64", DTypeKind::kSigned, 64},
    {DType::kUint1, "uint1", DTypeKind::kUnsigned, 1},
    {DType::kUint2, "uint2", DTypeKind::kUnsigned, 2},
    {DType::kUint3, "uint3", DTypeKind::kUnsigned, 3},
    {DType::kUint4, "uint4", DTypeKind::kUnsigned, 4},
    {DType::kUint6, "uint6", DTypeKind::kUnsigned, 6},
    {DType::kUint8, "uint8", DTypeKind::kUnsigned, 8},
    {DType::kUint16, "uint16", DTypeKind::kUnsigned, 16},
    {DType::kUint32, "uint32", DTypeKind::kUnsigned, 32},
    {DType::kUint64, "uint64", DTypeKind::kUnsigned, 64},
}};

constexpr bool table_is_in_order() {
  for (std::size_t i = 0; i < kTable.size(); ++i) {
    if (static_cast<std::size_t>(kTable[i].dtype) != i) return false;
  }
  return true;
}
static_assert(table_is_in_order());

}  // namespace

const DTypeInfo& dtype_info(DType dtype) { return kTable[static_cast<std::size_t>(dtype)]; }

std::optional<DType> dtype_from_name(std::string_view name) {
  for (const DTypeInfo& info : kTable) {
    if (info.name == name) return info.dtype;
  }
  return std::nullopt;
}

}  // namespace pyane
