#pragma once

#include <cstdint>
#include <optional>
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
//   128      data, n_bytes                   zero bytes up to the next multiple of 64, if another
//   ...      further metadata + data pairs   record follows
//
// A `BLOBFILE(offset = ...)` in the text is the offset of the metadata, never of the data.
// Integers narrower than a byte are packed, element 0 in the low bits; the padding bits are those
// left over in the last byte. bool has no number of its own: it is stored as uint8.
// Source: apple/coremltools mlmodel/src/MILBlob/Blob/StorageFormat.hpp (BSD-3), read for facts.

namespace pyane::mil {

/// How a reader treats a record whose fields disagree with the text or the format.
enum class BlobStrictness : std::uint8_t {
  kStrict,   ///< Official layout: any disagreement is a BlobError.
  kLenient,  ///< Wrong count, size, data offset, padding or alignment: warn, and take the data that
             ///< the text asks for, after the record when the data offset makes no sense. A file
             ///< that begins with a record instead of a header is read too.
};

/// What a weight file says about one tensor.
struct BlobRecord {
  std::uint64_t offset = 0;  ///< Of the metadata: what the text names.
  DType dtype = DType::kFp16;
  std::uint64_t n_bytes = 0;
  std::uint64_t data_offset = 0;
  std::uint64_t padding_bits = 0;
};

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

/// A record as it stands, whatever its fields say.
struct RawBlobRecord {
  bool has_sentinel = false;
  std::uint32_t dtype_number = 0;
  std::optional<DType> dtype;  ///< nullopt for a number that is no type.
  std::uint64_t n_bytes = 0;
  std::uint64_t data_offset = 0;
};
/// The 64 bytes at `offset`; nullopt when the file ends before.
std::optional<RawBlobRecord> peek_blob(std::span<const std::byte> file, std::uint64_t offset);

/// Every record of a file that follows the official layout, in order.
/// @throws BlobError  at the first field that does not.
std::vector<BlobRecord> list_blobs(std::span<const std::byte> file, std::string_view path);

/// Builds a weight file in memory, byte for byte as Apple's writer does.
class BlobWriter {
 public:
  BlobWriter();
  /// Appends a tensor; `data` holds exactly the packed bytes of `dtype` x `shape`.
  /// @return The offset to write in the text.
  /// @throws BlobError  when it does not, when weight files have no such type (string, fp64, int64,
  ///     uint64), or when the file has 2^32 - 1 tensors.
  std::uint64_t add(DType dtype, const Shape& shape, std::span<const std::byte> data);
  const std::vector<std::byte>& bytes() const { return bytes_; }
  /// The file; the writer starts a new one.
  std::vector<std::byte> take();

 private:
  std::vector<std::byte> bytes_;
  std::uint32_t count_ = 0;
};

}  // namespace pyane::mil
