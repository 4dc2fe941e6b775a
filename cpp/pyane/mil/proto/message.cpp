#include "pyane/mil/proto/message.h"

#include <cstring>

#include "pyane/base/error.h"
#include "pyane/mil/limits.h"
#include "pyane/mil/source.h"

namespace pyane::mil::proto {

void File::fail(const std::byte* at, const std::string& message) const {
  throw ModelError(name + ": byte " + std::to_string(at - bytes.data()) + ": " + message);
}

Nesting::Nesting(File& file, const std::byte* at) : file_(file) {
  if (file.nesting >= kMaxNesting) {
    file.fail(at, "must have at most " + std::to_string(kMaxNesting) + " levels of nesting");
  }
  ++file.nesting;
}

std::uint64_t take_varint(const File& file, std::span<const std::byte>& rest) {
  const std::byte* const place = rest.data();
  std::uint64_t value = 0;
  for (int shift = 0; shift < 70; shift += 7) {
    if (rest.empty()) file.fail(place, "the file is cut off within a number");
    const auto byte = std::to_integer<std::uint64_t>(rest.front());
    rest = rest.subspan(1);
    if (shift == 63 && byte > 1) break;
    value |= (byte & 0x7F) << shift;
    if (byte < 0x80) return value;
  }
  file.fail(place, "a number must fit in 64 bits");
}

Message::Message(File& file, const Field& field) : file_(&file), rest_(field.bytes) {
  if (field.wire != Wire::kBytes) {
    file.fail(field.place, "field " + std::to_string(field.number) + " must be a message");
  }
}

bool Message::next(Field& field) {
  if (rest_.empty()) return false;
  const std::byte* const place = rest_.data();
  const std::uint64_t key = take_varint(*file_, rest_);
  if (key >> 3 == 0 || key >> 32 != 0) {
    file_->fail(place, "is no field of a protobuf message: is this a Core ML model?");
  }
  field = {.number = static_cast<std::uint32_t>(key >> 3),
           .wire = static_cast<Wire>(key & 7),
           .value = 0,
           .bytes = {},
           .place = place};
  const auto take = [&](std::uint64_t n) {
    if (n > rest_.size()) {
      file_->fail(place, "field " + std::to_string(field.number) + " must have " +
                             std::to_string(n) + " bytes, but only " +
                             std::to_string(rest_.size()) + " are left");
    }
    const auto taken = rest_.first(static_cast<std::size_t>(n));
    rest_ = rest_.subspan(static_cast<std::size_t>(n));
    return taken;
  };
  const auto take_bits = [&](std::size_t n) {
    const auto bytes = take(n);
    std::memcpy(&field.value, bytes.data(), n);
  };
  switch (field.wire) {
    case Wire::kVarint:
      field.value = take_varint(*file_, rest_);
      return true;
    case Wire::kFixed64:
      take_bits(8);
      return true;
    case Wire::kFixed32:
      take_bits(4);
      return true;
    case Wire::kBytes:
      field.bytes = take(take_varint(*file_, rest_));
      return true;
  }
  file_->fail(place, "wire type must be 0, 1, 2 or 5, got " + std::to_string(key & 7) +
                         ": is this a Core ML model?");
}

std::string_view text(const File& file, const Field& field) {
  if (field.wire != Wire::kBytes) {
    file.fail(field.place, "field " + std::to_string(field.number) + " must be text");
  }
  return {reinterpret_cast<const char*>(field.bytes.data()), field.bytes.size()};
}

std::string string(const File& file, const Field& field) {
  const std::string_view found = text(file, field);
  if (find_invalid_utf8(found) != found.size()) {
    file.fail(field.place, "field " + std::to_string(field.number) + " must be UTF-8");
  }
  return std::string(found);
}

std::uint64_t number(const File& file, const Field& field) {
  if (field.wire != Wire::kVarint) {
    file.fail(field.place, "field " + std::to_string(field.number) + " must be a number");
  }
  return field.value;
}

}  // namespace pyane::mil::proto
