#include "pyane/mil/source.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "pyane/base/error.h"

namespace pyane::mil {
namespace {

// Columns of the offending line that a message shows.
constexpr std::size_t kExcerptColumns = 120;

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U; }

// Length of the well-formed UTF-8 sequence at `text[i]`, 0 when there is none.
std::size_t sequence_length(std::string_view text, std::size_t i) {
  const auto byte = [&](std::size_t k) { return static_cast<unsigned char>(text[k]); };
  const unsigned char lead = byte(i);
  if (lead < 0x80) return 1;
  std::size_t length = 0;
  // Bounds of the second byte: they exclude overlong forms, surrogates and what is above U+10FFFF.
  unsigned char low = 0x80;
  unsigned char high = 0xBF;
  if (lead >= 0xC2 && lead <= 0xDF) {
    length = 2;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    length = 3;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    length = 4;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
  }
  if (length == 0 || text.size() - i < length) return 0;
  if (byte(i + 1) < low || byte(i + 1) > high) return 0;
  for (std::size_t k = i + 2; k < i + length; ++k) {
    if (!is_continuation(text[k])) return 0;
  }
  return length;
}

void append_escaped_byte(std::string& out, char c) {
  constexpr std::string_view kHex = "0123456789abcdef";
  const auto byte = static_cast<unsigned char>(c);
  out += "\\x";
  out += kHex[byte >> 4U];
  out += kHex[byte & 15U];
}

// A line cut into the cells a terminal shows, so that a caret can be put below one of them.
struct Cells {
  std::vector<std::string> cells;
  std::size_t marked = 0;  // Cell of the offending byte.
};

Cells to_cells(std::string_view line, std::size_t marked_byte) {
  Cells result;
  for (std::size_t i = 0; i < line.size();) {
    if (i <= marked_byte) result.marked = result.cells.size();
    const std::size_t length = sequence_length(line, i);
    const auto byte = static_cast<unsigned char>(line[i]);
    if (length == 0 || (byte < 0x20 && byte != '\t') || byte == 0x7F) {
      result.cells.emplace_back("?");
    } else {
      result.cells.emplace_back(line.substr(i, length));
    }
    i += std::max<std::size_t>(length, 1);
  }
  if (marked_byte >= line.size()) result.marked = result.cells.size();
  return result;
}

std::string excerpt(std::string_view line, std::size_t marked_byte) {
  // Only the neighbourhood is cut into cells: a line may be megabytes long.
  constexpr std::size_t kWindow = 4 * kExcerptColumns;
  std::size_t begin = marked_byte > kWindow ? marked_byte - kWindow : 0;
  while (begin > 0 && is_continuation(line[begin])) --begin;
  const std::size_t end = std::min(line.size(), marked_byte + kWindow);
  const Cells all = to_cells(line.substr(begin, end - begin), marked_byte - begin);

  std::size_t first = 0;
  std::size_t last = all.cells.size();
  if (last > kExcerptColumns) {
    first = all.marked > kExcerptColumns / 2 ? all.marked - kExcerptColumns / 2 : 0;
    first = std::min(first, last - kExcerptColumns);
    last = first + kExcerptColumns;
  }
  const bool cut_left = first > 0 || begin > 0;
  const bool cut_right = last < all.cells.size() || end < line.size();
  std::string text = cut_left ? "..." : "";
  std::string caret = cut_left ? "   " : "";
  for (std::size_t i = first; i < last; ++i) {
    text += all.cells[i];
    if (i < all.marked) caret += all.cells[i] == "\t" ? "\t" : " ";
  }
  if (cut_right) text += "...";
  return text + "\n" + caret + "^";
}

}  // namespace

std::size_t find_invalid_utf8(std::string_view text) {
  std::size_t i = 0;
  while (i < text.size()) {
    // Eight ASCII bytes at a time: that is nearly all there is in a MIL file.
    while (text.size() - i >= sizeof(std::uint64_t)) {
      std::uint64_t word = 0;
      std::memcpy(&word, text.data() + i, sizeof(word));
      if ((word & 0x8080808080808080U) != 0) break;
      i += sizeof(word);
    }
    if (i == text.size()) break;
    const std::size_t length = sequence_length(text, i);
    if (length == 0) return i;
    i += length;
  }
  return text.size();
}

void Source::fail(std::size_t offset, const std::string& message) const {
  offset = std::min(offset, text.size());
  const std::string_view before = text.substr(0, offset);
  const auto line_number = 1 + std::count(before.begin(), before.end(), '\n');
  const std::size_t newline = before.rfind('\n');
  const std::size_t begin = newline == std::string_view::npos ? 0 : newline + 1;
  std::size_t end = std::min(text.find('\n', offset), text.size());
  while (end > offset && text[end - 1] == '\r') --end;

  const std::string_view left = text.substr(begin, offset - begin);
  const auto column =
      1 + std::count_if(left.begin(), left.end(), [](char c) { return !is_continuation(c); });
  std::string full;
  full.append(name).append(":").append(std::to_string(line_number)).append(":");
  full.append(std::to_string(column)).append(": ").append(message).append("\n");
  full += excerpt(text.substr(begin, end - begin), offset - begin);
  throw MilSyntaxError(full, static_cast<int>(line_number), static_cast<int>(column));
}

std::string quoted(std::string_view text) {
  constexpr std::size_t kLongest = 40;
  std::string out = "'";
  std::size_t i = 0;
  while (i < text.size() && i < kLongest) {
    const std::size_t length = sequence_length(text, i);
    const auto byte = static_cast<unsigned char>(text[i]);
    if (length == 0 || byte < 0x20 || byte == 0x7F) {
      append_escaped_byte(out, text[i]);
      ++i;
    } else {
      out += text.substr(i, length);
      i += length;
    }
  }
  return out + (i < text.size() ? "...'" : "'");
}

}  // namespace pyane::mil
