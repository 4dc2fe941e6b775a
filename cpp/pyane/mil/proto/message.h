#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

// Protocol Buffers' wire format, as far as reading a Core ML model needs it. The format is frozen
// (protobuf.dev/programming-guides/encoding), so reading it ourselves depends on nothing that can
// change; and the bytes may be hostile, so every length is checked here, in one place.

namespace pyane::mil::proto {

/// What messages are made of: where the file starts, what it is called, how deep we are in it.
struct File {
  std::span<const std::byte> bytes;
  std::string name;
  int nesting = 0;

  /// @throws ModelError  "name: byte 12: message"; `at` points into `bytes`.
  [[noreturn]] void fail(const std::byte* at, const std::string& message) const;
};

/// One level of a recursive message.
class Nesting {
 public:
  /// @throws ModelError  beyond kMaxNesting levels.
  Nesting(File& file, const std::byte* at);
  ~Nesting() { --file_.nesting; }
  Nesting(const Nesting&) = delete;
  Nesting& operator=(const Nesting&) = delete;

 private:
  File& file_;
};

enum class Wire : std::uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

/// A field of a message.
struct Field {
  std::uint32_t number = 0;
  Wire wire = Wire::kVarint;
  std::uint64_t value = 0;           ///< kVarint, kFixed64, kFixed32: its bits.
  std::span<const std::byte> bytes;  ///< kBytes: inside the file.
  const std::byte* place = nullptr;  ///< Where the field begins, for messages.
};

/// The fields of a message, in order.
class Message {
 public:
  Message(File& file, std::span<const std::byte> bytes) : file_(&file), rest_(bytes) {}
  /// The message inside a field.
  /// @throws ModelError  when the field has another wire type.
  Message(File& file, const Field& field);

  /// False at the end. @throws ModelError  on bytes that are no field, or end in one.
  bool next(Field& field);

  std::span<const std::byte> rest() const { return rest_; }
  File& file() const { return *file_; }

 private:
  File* file_;
  std::span<const std::byte> rest_;
};

/// Base-128 number at the front of `rest`, which is shortened by it.
std::uint64_t take_varint(const File& file, std::span<const std::byte>& rest);

/// Contents of a field of type string or bytes.
std::string_view text(const File& file, const Field& field);
/// The same, checked to be UTF-8.
std::string string(const File& file, const Field& field);
std::uint64_t number(const File& file, const Field& field);

}  // namespace pyane::mil::proto
