#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pyane/base/dtype.h"
#include "pyane/base/shape.h"
#include "pyane/mil/weights.h"

// The weight file format of MIL ("BLOBFILE", MILBlob storage version 2), little endian:
//
//   0        storage header, 64 bytes        u32 count | u32 version = 2 | 56 reserved
//   64       blob metadata, 64 bytes         u32 sentinel 0xDEADBEEF | u32 dtype | u64 n_bytes
//                                            | u64 data offset | u64 padding bits | 32 reserved
//   128      data, n_bytes                   then zero bytes up to the next multiple of 64
//   ...      further metadata + data pairs
//
// A `BLOBFILE(offset = ...)` in the text is the offset of the metadata, never of the data.
// Source: apple/coremltools mlmodel/src/MILBlob/Blob/StorageFormat.hpp (BSD-3), read for facts.

namespace pyane::mil {

/// How a reader treats a record whose fields disagree with the text or the format.
enum class BlobStrictness {
  kStrict,   ///< Official rules: any disagreement is a BlobError.
  kLenient,  ///< Wrong count, size, data offset or alignment: warn, take the data after the record.
};

/// Receives a reader's warnings. The core never prints.
using WarningSink = std::function<void(const std::string&)>;

/// Finds one tensor in a weight file.
///
/// @param file    The whole file; never read outside of it whatever the record says.
/// @param path    For messages.
/// @param offset  Of the metadata record.
/// @param dtype, shape  As declared in the text.
/// @return The packed data inside `file` (sub-byte types still packed).
/// @throws BlobError  naming the field that is wrong, its value and what it should be.
std::span<const std::byte> read_blob(std::span<const std::byte> file, std::string_view path,
                                     std::uint64_t offset, DType dtype, const Shape& shape,
                                     BlobStrictness strictness = BlobStrictness::kLenient,
                                     const WarningSink& warn = {});

/// Builds a weight file in memory, always in the official layout.
class BlobWriter {
 public:
  BlobWriter();
  /// Appends a tensor; `data` holds exactly the packed bytes of `dtype` x `shape`.
  /// @return The offset to write in the text.
  std::uint64_t add(DType dtype, const Shape& shape, std::span<const std::byte> data);
  const std::vector<std::byte>& bytes() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

}  // namespace pyane::mil
