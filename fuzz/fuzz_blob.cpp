#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <vector>

#include "pyane/base/error.h"
#include "pyane/mil/blob_file.h"
#include "pyane/mil/program.h"
#include "pyane/mil/weights.h"

// The first bytes choose dtype, shape and offset, the rest is the weight file. What is read must
// lie inside the file; a copy of exactly its size lets the sanitizer see one byte too many.

namespace {

using pyane::DType;
using pyane::mil::BlobStrictness;

struct Request {
  std::uint8_t dtype;
  std::uint8_t strict;
  std::uint16_t offset;
  std::uint16_t dims[2];
};

std::size_t touch(std::span<const std::byte> data) {
  std::size_t sum = 0;
  for (const std::byte byte : data) sum += std::to_integer<std::size_t>(byte);
  return sum;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Request request;
  if (size < sizeof(request)) return 0;
  std::memcpy(&request, data, sizeof(request));
  const auto* const begin = reinterpret_cast<const std::byte*>(data) + sizeof(request);
  const std::vector<std::byte> file(begin, begin + (size - sizeof(request)));
  const auto dtype = static_cast<DType>(request.dtype % 22);
  const pyane::Shape shape{request.dims[0], request.dims[1]};

  std::size_t sum = 0;
  try {
    const auto strictness =
        request.strict % 2 != 0 ? BlobStrictness::kStrict : BlobStrictness::kLenient;
    sum += touch(pyane::mil::read_blob(file, "fuzz", request.offset, dtype, shape, strictness));
  } catch (const pyane::BlobError&) {
  }
  try {
    for (const pyane::mil::BlobRecord& record : pyane::mil::list_blobs(file, "fuzz")) {
      sum += touch(std::span(file).subspan(record.data_offset, record.n_bytes));
    }
  } catch (const pyane::BlobError&) {
  }
  try {
    const pyane::mil::Literal literal{.type = pyane::mil::Type::tensor(dtype, shape),
                                      .payload = pyane::mil::BlobReference{"w", request.offset},
                                      .location = {}};
    const pyane::mil::WeightFiles files{{"w", {.owner = nullptr, .bytes = file}}};
    sum += touch(pyane::mil::to_constant(literal, &files).data);
  } catch (const pyane::BlobError&) {
  }
  // Keeps the loops above from being optimised away.
  if (sum == static_cast<std::size_t>(-1)) std::abort();
  return 0;
}
