#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "pyane/base/error.h"
#include "pyane/mil/limits.h"
#include "pyane/mil/number.h"
#include "pyane/mil/proto/readers.h"
#include "pyane/mil/sub_byte.h"

namespace pyane::mil::proto {
namespace {

// MILSpec.DataType
constexpr std::array<std::pair<std::uint64_t, DType>, 22> kDataTypes = {{
    {1, DType::kBool},       {2, DType::kString},   {10, DType::kFp16},   {11, DType::kFp32},
    {12, DType::kFp64},      {13, DType::kBf16},    {21, DType::kInt8},   {22, DType::kInt16},
    {23, DType::kInt32},     {24, DType::kInt64},   {25, DType::kInt4},   {31, DType::kUint8},
    {32, DType::kUint16},    {33, DType::kUint32},  {34, DType::kUint64}, {35, DType::kUint4},
    {36, DType::kUint2},     {37, DType::kUint1},   {38, DType::kUint6},  {39, DType::kUint3},
    {40, DType::kFp8E4M3FN}, {41, DType::kFp8E5M2},
}};

DType read_dtype(const File& file, const Field& field) {
  const std::uint64_t value = number(file, field);
  for (const auto& [key, dtype] : kDataTypes) {
    if (key == value) return dtype;
  }
  file.fail(field.place, "data type must be one of MIL's, got " + std::to_string(value));
}

// Dimension { constant 1 { size 1 }, unknown 2 { variadic 1 } }
std::int64_t read_dimension(Message message) {
  File& file = message.file();
  std::int64_t size = kUnknownDim;
  for (Field field; message.next(field);) {
    Message inner(file, field);
    for (Field part; inner.next(part);) {
      if (part.number != 1) continue;
      const std::uint64_t value = number(file, part);
      if (field.number == 1) {
        if (value > static_cast<std::uint64_t>(kMaxDimension)) {
          file.fail(part.place, "a dimension must be at most " + std::to_string(kMaxDimension) +
                                    ", got " + std::to_string(value));
        }
        size = static_cast<std::int64_t>(value);
      } else if (field.number == 2 && value != 0) {
        file.fail(part.place, "a tensor must have a known number of dimensions");
      }
    }
    // Zero is not written.
    if (field.number == 1 && size == kUnknownDim) size = 0;
  }
  return size;
}

// TensorType { dataType 1, rank 2, dimensions 3 }
Type read_tensor_type(Message message, const std::byte* place) {
  File& file = message.file();
  Type type;
  bool has_dtype = false;
  std::int64_t rank = 0;
  for (Field field; message.next(field);) {
    if (field.number == 1) {
      type.dtype = read_dtype(file, field);
      has_dtype = true;
    } else if (field.number == 2) {
      rank = static_cast<std::int64_t>(number(file, field));
    } else if (field.number == 3) {
      if (type.dims.size() == kMaxRank) {
        file.fail(field.place,
                  "a tensor must have at most " + std::to_string(kMaxRank) + " dimensions");
      }
      type.dims.push_back(read_dimension(Message(file, field)));
    }
  }
  if (!has_dtype) file.fail(place, "a tensor must have a data type");
  if (rank != static_cast<std::int64_t>(type.dims.size())) {
    file.fail(place, "a tensor of rank " + std::to_string(rank) +
                         " must have as many dimensions, " + "got " +
                         std::to_string(type.dims.size()));
  }
  double count = 1;
  for (const std::int64_t dim : type.dims)
    count *= static_cast<double>(std::max<std::int64_t>(dim, 1));
  if (count > static_cast<double>(kMaxElements)) {
    file.fail(place, "a tensor must have at most " + std::to_string(kMaxElements) +
                         " elements, got " + to_string(type.dims));
  }
  type.short_form = type.dims.empty();
  return type;
}

// ---- values

/// Elements of a repeated numeric field, packed or not, as 64 bits each.
class Numbers {
 public:
  Numbers(File& file, Wire wire) : file_(&file), wire_(wire) {}

  void add(const Field& field) {
    if (field.wire == wire_) return values_.push_back(field.value);
    if (field.wire != Wire::kBytes) file_->fail(field.place, "numbers must be of one wire type");
    std::span<const std::byte> rest = field.bytes;
    if (wire_ == Wire::kVarint) {
      while (!rest.empty()) values_.push_back(take_varint(*file_, rest));
      return;
    }
    const std::size_t size = wire_ == Wire::kFixed32 ? 4 : 8;
    if (rest.size() % size != 0) {
      file_->fail(field.place, "packed numbers must have a multiple of " + std::to_string(size) +
                                   " bytes, got " + std::to_string(rest.size()));
    }
    for (; !rest.empty(); rest = rest.subspan(size)) {
      std::uint64_t bits = 0;
      std::memcpy(&bits, rest.data(), size);
      values_.push_back(bits);
    }
  }
  const std::vector<std::uint64_t>& values() const { return values_; }

 private:
  File* file_;
  Wire wire_;
  std::vector<std::uint64_t> values_;
};

TensorBytes integers_as(const File& file, const std::byte* place, DType dtype,
                        const std::vector<std::uint64_t>& values) {
  const std::size_t size = dtype_size(dtype);
  TensorBytes bytes(values.size() * size);
  const IntegerRange range = dtype == DType::kBool ? IntegerRange{0, 1} : integer_range(dtype);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto value = static_cast<std::int64_t>(values[i]);
    // int32 fields hold unsigned 32-bit numbers as negative ones.
    const bool fits = (value < 0 ? value >= range.low : values[i] <= range.high) ||
                      dtype == DType::kUint32 || dtype == DType::kUint64;
    if (!fits) {
      file.fail(place, "a " + std::string(dtype_name(dtype)) + " must be in [" +
                           std::to_string(range.low) + ", " + std::to_string(range.high) +
                           "], got " + std::to_string(value));
    }
    std::memcpy(bytes.data() + i * size, &values[i], size);
  }
  return bytes;
}

TensorBytes floats_as(const File& file, const std::byte* place, DType dtype, bool is_double,
                      const std::vector<std::uint64_t>& values) {
  TensorBytes bytes;
  bytes.reserve(values.size() * dtype_size(dtype));
  for (const std::uint64_t bits : values) {
    double value = 0;
    if (is_double) {
      std::memcpy(&value, &bits, sizeof(value));
    } else {
      float narrow = 0;
      std::memcpy(&narrow, &bits, sizeof(narrow));
      value = static_cast<double>(narrow);
    }
    if ((is_double && dtype == DType::kFp64) || (!is_double && dtype == DType::kFp32)) {
      const auto* const raw = reinterpret_cast<const std::byte*>(&bits);
      bytes.insert(bytes.end(), raw, raw + dtype_size(dtype));
      continue;
    }
    try {
      const Literal element = Literal::of(value, dtype);
      const auto& raw = std::get<TensorBytes>(element.payload);
      bytes.insert(bytes.end(), raw.begin(), raw.end());
    } catch (const ShapeError& error) {
      file.fail(place, error.what());
    }
  }
  return bytes;
}

TensorBytes raw_as(const File& file, const std::byte* place, DType dtype, std::uint64_t count,
                   std::string_view raw) {
  if (packed_bytes(dtype, count) != raw.size()) {
    file.fail(place, std::to_string(count) + " elements of " + std::string(dtype_name(dtype)) +
                         " must have " + std::to_string(packed_bytes(dtype, count)) +
                         " bytes, got " + std::to_string(raw.size()));
  }
  const auto packed = std::as_bytes(std::span(raw.data(), raw.size()));
  if (!is_sub_byte(dtype)) return {packed.begin(), packed.end()};
  TensorBytes bytes(static_cast<std::size_t>(count));
  unpack(packed, dtype, bytes);
  return bytes;
}

/// Number of elements a literal's type asks for; at most one dimension may be open, and then the
/// number of elements that are there fills it.
std::uint64_t expected_count(const Type& type, std::uint64_t found) {
  std::uint64_t known = 1;
  bool is_open = false;
  for (const std::int64_t dim : type.dims) {
    if (dim == kUnknownDim) {
      is_open = true;
    } else {
      known *= static_cast<std::uint64_t>(dim);
    }
  }
  if (!is_open) return known;
  return known == 0 ? 0 : found / known * known;
}

// TensorValue { floats 1, ints 2, bools 3, strings 4, longInts 5, doubles 6, bytes 7 }, each with
// the field values 1.
void read_tensor_value(Message message, const std::byte* place, Literal& literal) {
  File& file = message.file();
  const DType dtype = literal.type.dtype;
  const Shape& dims = literal.type.dims;
  if (std::count(dims.begin(), dims.end(), kUnknownDim) > 1) {
    file.fail(place,
              "a value must have at most one unknown dimension, got " + to_string(literal.type));
  }
  Numbers fixed32(file, Wire::kFixed32);
  Numbers fixed64(file, Wire::kFixed64);
  Numbers varints(file, Wire::kVarint);
  std::vector<std::string> strings;
  std::string_view raw;
  std::uint32_t kind = 0;
  for (Field field; message.next(field);) {
    if (field.number < 1 || field.number > 7) continue;
    kind = field.number;
    Message values(file, field);
    for (Field item; values.next(item);) {
      if (item.number != 1) continue;
      if (kind == 1) {
        fixed32.add(item);
      } else if (kind == 6) {
        fixed64.add(item);
      } else if (kind == 4) {
        strings.push_back(string(file, item));
      } else if (kind == 7) {
        raw = text(file, item);
      } else {
        varints.add(item);
      }
    }
  }
  std::size_t count = 0;
  if (dtype == DType::kString) {
    if (kind != 4 && kind != 0) file.fail(place, "a string must be stored as one");
    count = strings.size();
    literal.payload = std::move(strings);
  } else {
    TensorBytes bytes;
    if (kind == 1 || kind == 6) {
      if (!is_float(dtype)) {
        file.fail(place, "a tensor of " + std::string(dtype_name(dtype)) +
                             " must not be stored as floating point");
      }
      bytes = floats_as(file, place, dtype, kind == 6, (kind == 6 ? fixed64 : fixed32).values());
    } else if (kind == 7) {
      const std::uint64_t bits = static_cast<std::uint64_t>(dtype_info(dtype).bits);
      bytes = raw_as(file, place, dtype, expected_count(literal.type, raw.size() * 8 / bits), raw);
    } else if (kind == 4) {
      file.fail(place, "a tensor of " + std::string(dtype_name(dtype)) + " must not hold strings");
    } else if (kind != 0) {
      if (is_float(dtype)) {
        file.fail(place, "a tensor of " + std::string(dtype_name(dtype)) +
                             " must not be stored as integers");
      }
      bytes = integers_as(file, place, dtype, varints.values());
    }
    count = bytes.size() / dtype_size(dtype);
    literal.payload = std::move(bytes);
  }
  const std::uint64_t expected = expected_count(literal.type, count);
  if (expected != count) {
    file.fail(place, to_string(literal.type) + " must have " + std::to_string(expected) +
                         " elements, got " + std::to_string(count));
  }
}

void check_item(const File& file, const Field& field, const Type& expected, const Literal& item) {
  if (same_type(expected, item.type)) return;
  // A tensor of unknown length holds tensors of any.
  const bool is_open =
      expected.is_tensor() && std::ranges::count(expected.dims, kUnknownDim) <= 1 &&
      item.type.is_tensor() && expected.dtype == item.type.dtype &&
      expected.dims.size() == item.type.dims.size() &&
      std::equal(expected.dims.begin(), expected.dims.end(), item.type.dims.begin(),
                 [](std::int64_t a, std::int64_t b) { return a == kUnknownDim || a == b; });
  if (is_open) return;
  file.fail(field.place,
            "an item must be " + to_string(expected) + ", got " + to_string(item.type));
}

// TupleValue, ListValue { values 1 }
void read_items(Message message, const std::byte* place, Literal& literal) {
  File& file = message.file();
  std::vector<Literal> items;
  const bool is_list = literal.type.kind == Type::Kind::kList;
  for (Field field; message.next(field);) {
    if (field.number != 1) continue;
    Literal item = read_value(Message(file, field));
    if (!is_list && items.size() >= literal.type.elements.size()) {
      file.fail(field.place, "a tuple must have as many items as its type");
    }
    const Type& expected = literal.type.elements[is_list ? 0 : items.size()];
    check_item(file, field, expected, item);
    item.type = expected;
    items.push_back(std::move(item));
  }
  const std::int64_t length =
      is_list ? literal.type.length : static_cast<std::int64_t>(literal.type.elements.size());
  if (length != kUnknownDim && length != static_cast<std::int64_t>(items.size())) {
    file.fail(place, to_string(literal.type) + " must have " + std::to_string(length) +
                         " items, got " + std::to_string(items.size()));
  }
  literal.payload = std::move(items);
}

// DictionaryValue { values 1 { key 1, value 2 } }
void read_entries(Message message, Literal& literal) {
  File& file = message.file();
  std::vector<Literal> items;
  for (Field field; message.next(field);) {
    if (field.number != 1) continue;
    Message entry(file, field);
    std::optional<Literal> key;
    std::optional<Literal> value;
    for (Field part; entry.next(part);) {
      if (part.number != 1 && part.number != 2) continue;
      Literal item = read_value(Message(file, part));
      const Type& expected = literal.type.elements[part.number - 1];
      check_item(file, part, expected, item);
      item.type = expected;
      (part.number == 1 ? key : value) = std::move(item);
    }
    if (!key || !value) file.fail(field.place, "an entry of a dict must have a key and a value");
    items.push_back(*std::move(key));
    items.push_back(*std::move(value));
  }
  literal.payload = std::move(items);
}

// BlobFileValue { fileName 1, offset 2 }
BlobReference read_blob_reference(Message message) {
  File& file = message.file();
  BlobReference blob;
  for (Field field; message.next(field);) {
    if (field.number == 1) blob.path = string(file, field);
    if (field.number == 2) blob.offset = number(file, field);
  }
  return blob;
}

// ImmediateValue { tensor 1, tuple 2, list 3, dictionary 4 }
void read_immediate(Message message, const std::byte* place, Literal& literal) {
  File& file = message.file();
  constexpr std::array kKinds = {Type::Kind::kTensor, Type::Kind::kTuple, Type::Kind::kList,
                                 Type::Kind::kDict};
  bool has_value = false;
  for (Field field; message.next(field);) {
    if (field.number < 1 || field.number > kKinds.size()) continue;
    if (kKinds[field.number - 1] != literal.type.kind) {
      file.fail(field.place, "the value must be one of " + to_string(literal.type));
    }
    const Message inner(file, field);
    if (field.number == 1) {
      read_tensor_value(inner, field.place, literal);
    } else if (field.number == 4) {
      read_entries(inner, literal);
    } else {
      read_items(inner, field.place, literal);
    }
    has_value = true;
  }
  if (!has_value) file.fail(place, "a value of " + to_string(literal.type) + " must hold one");
}

}  // namespace

// ValueType { tensorType 1, listType 2, tupleType 3, dictionaryType 4, stateType 5 }
Type read_type(Message message) {
  File& file = message.file();
  const std::byte* const place = message.rest().data();
  const Nesting nesting(file, file.bytes.data());
  Type type;
  bool has_type = false;
  for (Field field; message.next(field);) {
    if (field.number < 1 || field.number > 5) continue;
    has_type = true;
    Message inner(file, field);
    if (field.number == 1) {
      type = read_tensor_type(inner, field.place);
      continue;
    }
    constexpr std::array kKinds = {Type::Kind::kList, Type::Kind::kTuple, Type::Kind::kDict,
                                   Type::Kind::kState};
    type = Type();
    type.kind = kKinds[field.number - 2];
    for (Field part; inner.next(part);) {
      if (type.kind == Type::Kind::kList && part.number == 2) {
        type.length = read_dimension(Message(file, part));
      } else if (part.number == 1 || (type.kind == Type::Kind::kDict && part.number == 2)) {
        type.elements.push_back(read_type(Message(file, part)));
      }
    }
    const std::size_t n = type.elements.size();
    const bool is_valid =
        type.kind == Type::Kind::kTuple || (type.kind == Type::Kind::kDict && n == 2) ||
        (type.kind == Type::Kind::kList && n == 1) ||
        (type.kind == Type::Kind::kState && n == 1 && type.elements.front().is_tensor());
    if (!is_valid) file.fail(field.place, "a list, dict or state must have its element types");
  }
  if (!has_type) {
    file.fail(place == nullptr ? file.bytes.data() : place, "a value must have a type");
  }
  return type;
}

// Value { type 2, immediateValue 3, blobFileValue 5 }
Literal read_value(Message message) {
  File& file = message.file();
  const std::byte* const place = message.rest().data();
  const Nesting nesting(file, file.bytes.data());
  Literal literal;
  std::optional<Field> type;
  std::optional<Field> immediate;
  std::optional<Field> blob;
  for (Field field; message.next(field);) {
    if (field.number == 2) type = field;
    if (field.number == 3) immediate = field;
    if (field.number == 5) blob = field;
  }
  const auto fail = [&](const char* text) {
    file.fail(place == nullptr ? file.bytes.data() : place, text);
  };
  if (!type) fail("a value must have a type");
  literal.type = read_type(Message(file, *type));
  if (literal.type.kind == Type::Kind::kState) fail("a value must not be a state");
  if (blob) {
    if (!literal.type.is_tensor()) fail("a weight file must hold a tensor");
    literal.payload = read_blob_reference(Message(file, *blob));
  } else if (immediate) {
    read_immediate(Message(file, *immediate), immediate->place, literal);
  } else {
    fail("a value must hold numbers or name a weight file");
  }
  return literal;
}

}  // namespace pyane::mil::proto
