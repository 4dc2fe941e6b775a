#include "pyane/mil/blob_file.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "pyane/base/error.h"
#include "pyane/mil/sub_byte.h"

namespace pyane::mil {
namespace {

constexpr std::uint64_t kAlignment = 64;
constexpr std::uint32_t kVersion = 2;
constexpr std::uint32_t kSentinel = 0xDEADBEEF;

struct StorageHeader {
  std::uint32_t count = 0;
  std::uint32_t version = kVersion;
  std::array<std::uint64_t, 7> reserved{};
};
static_assert(sizeof(StorageHeader) == 64);

struct BlobMetadata {
  std::uint32_t sentinel = kSentinel;
  std::uint32_t dtype = 0;
  std::uint64_t n_bytes = 0;
  std::uint64_t data_offset = 0;
  std::uint64_t padding_bits = 0;
  std::array<std::uint64_t, 4> reserved{};
};
static_assert(sizeof(BlobMetadata) == 64);

struct DTypeNumber {
  DType dtype;
  std::uint32_t number;
};
constexpr std::array<DTypeNumber, 17> kDTypeNumbers = {{
    {DType::kFp16, 1},
    {DType::kFp32, 2},
    {DType::kUint8, 3},
    {DType::kInt8, 4},
    {DType::kBf16, 5},
    {DType::kInt16, 6},
    {DType::kUint16, 7},
    {DType::kInt4, 8},
    {DType::kUint1, 9},
    {DType::kUint2, 10},
    {DType::kUint4, 11},
    {DType::kUint3, 12},
    {DType::kUint6, 13},
    {DType::kInt32, 14},
    {DType::kUint32, 15},
    {DType::kFp8E4M3FN, 16},
    {DType::kFp8E5M2, 17},
}};

std::optional<std::uint32_t> number_of(DType dtype) {
  if (dtype == DType::kBool) dtype = DType::kUint8;
  for (const DTypeNumber& row : kDTypeNumbers) {
    if (row.dtype == dtype) return row.number;
  }
  return std::nullopt;
}

std::optional<DType> dtype_of(std::uint32_t number) {
  for (const DTypeNumber& row : kDTypeNumbers) {
    if (row.number == number) return row.dtype;
  }
  return std::nullopt;
}

std::string describe_number(std::uint32_t number) {
  const auto dtype = dtype_of(number);
  return std::to_string(number) + (dtype ? " (" + std::string(dtype_name(*dtype)) + ")" : "");
}

std::uint64_t align_up(std::uint64_t offset) {
  return (offset + kAlignment - 1) / kAlignment * kAlignment;
}

// One file under its name. Every access goes through `load`, which keeps inside.
class File {
 public:
  File(std::span<const std::byte> bytes, std::string_view path) : bytes_(bytes), path_(path) {}

  [[noreturn]] void fail(const std::string& message) const {
    throw BlobError(std::string(path_) + ": " + message);
  }
  [[noreturn]] void fail(std::uint64_t offset, const std::string& message) const {
    fail("tensor at offset " + std::to_string(offset) + ": " + message);
  }

  std::uint64_t size() const { return bytes_.size(); }
  bool holds(std::uint64_t offset, std::uint64_t n_bytes) const {
    return offset <= size() && n_bytes <= size() - offset;
  }
  std::span<const std::byte> range(std::uint64_t offset, std::uint64_t n_bytes) const {
    return bytes_.subspan(static_cast<std::size_t>(offset), static_cast<std::size_t>(n_bytes));
  }

  StorageHeader header() const {
    if (!holds(0, sizeof(StorageHeader))) {
      fail("a weight file must have a header of 64 bytes, got " + std::to_string(size()) +
           " bytes in all");
    }
    return load<StorageHeader>(0);
  }

  BlobMetadata metadata(std::uint64_t offset) const {
    if (!holds(offset, sizeof(BlobMetadata))) {
      fail(offset, "its record needs 64 bytes, but the file ends at " + std::to_string(size()));
    }
    return load<BlobMetadata>(offset);
  }

  void check_version(const StorageHeader& header) const {
    if (header.version == kVersion) return;
    fail("storage version must be 2, got " + std::to_string(header.version) +
         (header.version == 1 ? " (an Espresso weight file, which MIL does not use)" : ""));
  }

  void check_sentinel(std::uint64_t offset, const BlobMetadata& record) const {
    if (record.sentinel == kSentinel) return;
    fail(offset, "sentinel must be 0xdeadbeef, got " + hexadecimal(record.sentinel) +
                     " (the offset must be that of a record, not of data)");
  }

 private:
  template <typename T>
  T load(std::uint64_t offset) const {
    T value;
    std::memcpy(&value, bytes_.data() + offset, sizeof(T));
    return value;
  }

  static std::string hexadecimal(std::uint32_t value) {
    std::string text = "0x";
    for (int shift = 28; shift >= 0; shift -= 4) {
      text += "0123456789abcdef"[(value >> shift) & 15U];
    }
    return text;
  }

  std::span<const std::byte> bytes_;
  std::string_view path_;
};

// What the text says the record should hold.
struct Expected {
  std::uint32_t number;
  std::uint64_t n_bytes;
  std::uint64_t padding_bits;
};

Expected expected_record(DType dtype, const Shape& shape, const std::string& where) {
  const auto number = number_of(dtype);
  if (!number) {
    throw BlobError(where + ": weight files hold no tensors of " + std::string(dtype_name(dtype)));
  }
  const auto count = element_count(shape);
  if (!count) {
    throw BlobError(where + ": shape must have known dimensions and at most 2^62 elements, got " +
                    to_string(shape));
  }
  const auto n = static_cast<std::uint64_t>(*count);
  const auto bits = static_cast<std::uint64_t>(dtype_info(dtype).bits);
  return {.number = *number,
          .n_bytes = packed_bytes(dtype, n),
          .padding_bits = (8 - n % 8 * bits % 8) % 8};
}

bool begins_with_record(const File& file) {
  return file.holds(0, sizeof(BlobMetadata)) && file.metadata(0).sentinel == kSentinel;
}

}  // namespace

std::span<const std::byte> read_blob(std::span<const std::byte> bytes, std::string_view path,
                                     std::uint64_t offset, DType dtype, const Shape& shape,
                                     BlobStrictness strictness, const WarningSink& warn) {
  const File file(bytes, path);
  const std::string where = std::string(path) + ": tensor at offset " + std::to_string(offset);
  const Expected expected = expected_record(dtype, shape, where);
  const bool is_strict = strictness == BlobStrictness::kStrict;
  const auto complain = [&](const std::string& message) {
    if (is_strict) file.fail(offset, message);
    if (warn) warn(where + ": " + message);
  };
  const auto checked = [&](std::uint64_t data_offset) {
    if (!file.holds(data_offset, expected.n_bytes)) {
      file.fail(offset, "its data needs " + std::to_string(expected.n_bytes) + " bytes from " +
                            std::to_string(data_offset) + ", but the file ends at " +
                            std::to_string(file.size()));
    }
    return file.range(data_offset, expected.n_bytes);
  };

  if (!is_strict && offset == kAlignment && begins_with_record(file)) {
    complain("the file has no header, only a record at 0: data taken from 64");
    return checked(kAlignment);
  }
  if (is_strict) {
    const std::vector<BlobRecord> records = list_blobs(bytes, path);
    if (std::none_of(records.begin(), records.end(),
                     [&](const BlobRecord& record) { return record.offset == offset; })) {
      file.metadata(offset);
      file.check_sentinel(offset, file.metadata(offset));
      file.fail(offset, "must be one of the file's " + std::to_string(records.size()) +
                            " records, got an offset between them");
    }
  }
  const StorageHeader header = file.header();
  file.check_version(header);
  if (header.count == 0) complain("number of tensors in the header must be at least 1, got 0");
  if (offset % kAlignment != 0) complain("offset must be a multiple of 64");
  const BlobMetadata record = file.metadata(offset);
  file.check_sentinel(offset, record);
  if (record.dtype != expected.number) {
    file.fail(offset, "dtype must be " + describe_number(expected.number) +
                          " as in the text, got " + describe_number(record.dtype));
  }
  if (record.n_bytes != expected.n_bytes) {
    complain("size must be " + std::to_string(expected.n_bytes) + " bytes for " +
             std::string(dtype_name(dtype)) + " " + to_string(shape) + ", got " +
             std::to_string(record.n_bytes));
  }
  if (is_sub_byte(dtype) && record.padding_bits != expected.padding_bits) {
    complain("padding must be " + std::to_string(expected.padding_bits) + " bits, got " +
             std::to_string(record.padding_bits));
  }
  const std::uint64_t after_record = offset + sizeof(BlobMetadata);
  if (record.data_offset == after_record) return checked(after_record);
  if (record.data_offset < after_record || !file.holds(record.data_offset, expected.n_bytes)) {
    complain("data offset must be " + std::to_string(after_record) + ", got " +
             std::to_string(record.data_offset));
    return checked(after_record);
  }
  // Apple's reader takes data wherever the record says, so a distant place is not wrong.
  if (record.data_offset % kAlignment != 0) {
    complain("data offset must be a multiple of 64, got " + std::to_string(record.data_offset));
  }
  return checked(record.data_offset);
}

std::optional<RawBlobRecord> peek_blob(std::span<const std::byte> bytes, std::uint64_t offset) {
  const File file(bytes, "");
  if (!file.holds(offset, sizeof(BlobMetadata))) return std::nullopt;
  const BlobMetadata metadata = file.metadata(offset);
  return RawBlobRecord{.has_sentinel = metadata.sentinel == kSentinel,
                       .dtype_number = metadata.dtype,
                       .dtype = dtype_of(metadata.dtype),
                       .n_bytes = metadata.n_bytes,
                       .data_offset = metadata.data_offset};
}

std::vector<BlobRecord> list_blobs(std::span<const std::byte> bytes, std::string_view path) {
  const File file(bytes, path);
  const StorageHeader header = file.header();
  file.check_version(header);
  std::vector<BlobRecord> records;
  std::uint64_t offset = sizeof(StorageHeader);
  for (std::uint32_t i = 0; i < header.count; ++i) {
    if (!file.holds(offset, sizeof(BlobMetadata))) {
      file.fail("the header counts " + std::to_string(header.count) + " tensors, but record " +
                std::to_string(i) + " at " + std::to_string(offset) +
                " is cut off: the file ends at " + std::to_string(file.size()));
    }
    const BlobMetadata metadata = file.metadata(offset);
    file.check_sentinel(offset, metadata);
    const auto dtype = dtype_of(metadata.dtype);
    if (!dtype) {
      file.fail(offset, "dtype must be 1 to 17, got " + std::to_string(metadata.dtype));
    }
    if (metadata.data_offset < offset + sizeof(BlobMetadata) ||
        metadata.data_offset % kAlignment != 0) {
      file.fail(offset, "data offset must be " + std::to_string(offset + sizeof(BlobMetadata)) +
                            ", got " + std::to_string(metadata.data_offset));
    }
    if (!file.holds(metadata.data_offset, metadata.n_bytes)) {
      file.fail(offset, "its data needs " + std::to_string(metadata.n_bytes) + " bytes from " +
                            std::to_string(metadata.data_offset) + ", but the file ends at " +
                            std::to_string(file.size()));
    }
    records.push_back({.offset = offset,
                       .dtype = *dtype,
                       .n_bytes = metadata.n_bytes,
                       .data_offset = metadata.data_offset,
                       .padding_bits = metadata.padding_bits});
    offset = align_up(metadata.data_offset + metadata.n_bytes);
  }
  return records;
}

BlobWriter::BlobWriter() : bytes_(sizeof(StorageHeader)) {
  const StorageHeader header;
  std::memcpy(bytes_.data(), &header, sizeof(header));
}

std::uint64_t BlobWriter::add(DType dtype, const Shape& shape, std::span<const std::byte> data) {
  const Expected expected = expected_record(dtype, shape, "new tensor");
  if (data.size() != expected.n_bytes) {
    throw BlobError("new tensor: data must have " + std::to_string(expected.n_bytes) +
                    " bytes for " + std::string(dtype_name(dtype)) + " " + to_string(shape) +
                    ", got " + std::to_string(data.size()));
  }
  if (count_ == std::numeric_limits<std::uint32_t>::max()) {
    throw BlobError("new tensor: a weight file must have fewer than 2^32 tensors");
  }
  const std::uint64_t offset = align_up(bytes_.size());
  BlobMetadata metadata;
  metadata.dtype = expected.number;
  metadata.n_bytes = expected.n_bytes;
  metadata.data_offset = offset + sizeof(BlobMetadata);
  // Only packed types have padding; for the others the formula gives 0.
  metadata.padding_bits = expected.padding_bits;
  bytes_.resize(static_cast<std::size_t>(metadata.data_offset));
  std::memcpy(bytes_.data() + offset, &metadata, sizeof(metadata));
  bytes_.insert(bytes_.end(), data.begin(), data.end());
  ++count_;
  std::memcpy(bytes_.data(), &count_, sizeof(count_));
  return offset;
}

std::vector<std::byte> BlobWriter::take() { return std::exchange(*this, BlobWriter()).bytes_; }

}  // namespace pyane::mil
