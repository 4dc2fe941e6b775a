#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "check.h"
#include "pyane/base/error.h"
#include "pyane/mil/blob_file.h"
#include "pyane/mil/sub_byte.h"
#include "pyane/mil/weights.h"

// Weight files cut off or with lying fields, for the sanitizers: nothing outside the file is read.

namespace {

using pyane::BlobError;
using pyane::DType;
using pyane::Shape;
using pyane::mil::BlobStrictness;
using pyane::mil::BlobWriter;
using Bytes = std::vector<std::byte>;

Bytes numbered(std::size_t n) {
  Bytes bytes(n);
  for (std::size_t i = 0; i < n; ++i) bytes[i] = static_cast<std::byte>(i);
  return bytes;
}

struct Tensor {
  DType dtype;
  Shape shape;
  std::size_t n_bytes;
  std::uint64_t offset = 0;
};

std::array<Tensor, 4> test_tensors() {
  return {{{DType::kFp16, {5, 7}, 70},
           {DType::kUint3, {11}, 5},
           {DType::kInt32, {2, 0}, 0},
           {DType::kFp32, {16}, 64}}};
}

// Reads every tensor in both ways and touches every byte found.
void read_all(const Bytes& file, const std::array<Tensor, 4>& tensors) {
  unsigned sum = 0;
  for (const Tensor& tensor : tensors) {
    for (const auto strictness : {BlobStrictness::kStrict, BlobStrictness::kLenient}) {
      try {
        const auto data = pyane::mil::read_blob(file, "test", tensor.offset, tensor.dtype,
                                                tensor.shape, strictness);
        CHECK(data.size() == tensor.n_bytes);
        CHECK(data.empty() || (data.data() >= file.data() &&
                               data.data() + data.size() <= file.data() + file.size()));
        for (const std::byte byte : data) sum += std::to_integer<unsigned>(byte);
      } catch (const BlobError&) {
      }
    }
  }
  CHECK(sum != 1);  // Keeps the reads.
}

void check_damage() {
  std::array<Tensor, 4> tensors = test_tensors();
  BlobWriter writer;
  for (Tensor& tensor : tensors) {
    tensor.offset = writer.add(tensor.dtype, tensor.shape, numbered(tensor.n_bytes));
  }
  const Bytes file = writer.take();
  CHECK(pyane::mil::list_blobs(file, "test").size() == tensors.size());
  for (const Tensor& tensor : tensors) {
    const auto data = pyane::mil::read_blob(file, "test", tensor.offset, tensor.dtype, tensor.shape,
                                            BlobStrictness::kStrict);
    CHECK(Bytes(data.begin(), data.end()) == numbered(tensor.n_bytes));
  }
  for (std::size_t length = 0; length < file.size(); ++length) {
    read_all(Bytes(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(length)), tensors);
  }
  for (std::size_t at = 0; at < file.size(); ++at) {
    for (const unsigned value : {0x00U, 0x01U, 0x40U, 0x7FU, 0x80U, 0xFFU}) {
      Bytes damaged = file;
      damaged[at] = static_cast<std::byte>(value);
      read_all(damaged, tensors);
    }
  }
  // Whole fields at their ends, where sums wrap around.
  for (const std::uint64_t lie : {~0ULL, ~0ULL - 63, 1ULL << 63, 1ULL << 32, 134ULL}) {
    for (std::size_t at = 64; at + 8 <= file.size(); at += 8) {
      Bytes damaged = file;
      std::memcpy(damaged.data() + at, &lie, sizeof(lie));
      read_all(damaged, tensors);
    }
  }
}

void check_sub_byte() {
  for (const DType dtype :
       {DType::kUint1, DType::kUint2, DType::kUint3, DType::kUint4, DType::kUint6, DType::kInt4}) {
    const auto bits = static_cast<unsigned>(pyane::dtype_info(dtype).bits);
    for (std::size_t n = 0; n < 70; ++n) {
      Bytes values(n);
      for (std::size_t i = 0; i < n; ++i) {
        int value = static_cast<int>((i * 7 + 3) % (1U << bits));
        if (dtype == DType::kInt4 && value > 7) value -= 16;
        values[i] = static_cast<std::byte>(value);
      }
      Bytes packed(pyane::mil::packed_bytes(dtype, n));
      CHECK(packed.size() == (n * bits + 7) / 8);
      pyane::mil::pack(values, dtype, packed);
      Bytes unpacked(n);
      pyane::mil::unpack(packed, dtype, unpacked);
      CHECK(unpacked == values);
    }
  }
  CHECK(pyane::mil::packed_bytes(DType::kUint3, 1ULL << 62) == 3ULL << 59);
}

// A weight keeps its file alive, and is aligned wherever it lies.
void check_constants() {
  BlobWriter writer;
  const std::uint64_t offset = writer.add(DType::kFp32, {3}, numbered(12));
  Bytes bytes = writer.take();
  bytes.insert(bytes.begin() + 128, std::byte{0});  // Data one byte late.
  const std::uint64_t data_offset = 129;
  std::memcpy(bytes.data() + 64 + 16, &data_offset, sizeof(data_offset));
  auto owner = std::make_shared<Bytes>(std::move(bytes));

  const auto literal = [&](DType dtype, Shape shape) {
    return pyane::mil::Literal{
        .type = pyane::mil::Type::tensor(dtype, std::move(shape)),
        .payload = pyane::mil::BlobReference{.path = "w.bin", .offset = offset},
        .location = {}};
  };
  pyane::mil::Constant constant;
  {
    const pyane::mil::WeightFiles files{{"w.bin", {.owner = owner, .bytes = *owner}}};
    constant = pyane::mil::to_constant(literal(DType::kFp32, {3}), &files);
    CHECK_THROWS(BlobError, pyane::mil::to_constant(literal(DType::kFp32, {4}), &files));
    CHECK_THROWS(BlobError, pyane::mil::to_constant(literal(DType::kFp16, {3}), &files));
  }
  owner.reset();
  CHECK(reinterpret_cast<std::uintptr_t>(constant.data.data()) % sizeof(float) == 0);
  CHECK(Bytes(constant.data.begin(), constant.data.end()) == numbered(12));

  const pyane::mil::WeightFiles none;
  CHECK_THROWS(BlobError, pyane::mil::to_constant(literal(DType::kFp32, {3}), &none));
  CHECK(pyane::mil::to_constant(literal(DType::kFp32, {3}), nullptr).is_missing);

  const auto numbers = pyane::mil::to_constant(
      pyane::mil::Literal::of(std::vector<std::int64_t>{1, -2, 3}), nullptr);
  CHECK(numbers.type.dims == Shape{3});
  std::array<std::int32_t, 3> values{};
  CHECK(numbers.data.size() == sizeof(values));
  std::memcpy(values.data(), numbers.data.data(), sizeof(values));
  CHECK(values[1] == -2);
}

}  // namespace

int main() {
  check_damage();
  check_sub_byte();
  check_constants();
  return 0;
}
