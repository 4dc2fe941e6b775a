#include <algorithm>
#include <array>
#include <unordered_set>
#include <utility>

#include "pyane/mil/lexer.h"
#include "pyane/mil/op_set.h"
#include "pyane/mil/proto/readers.h"

namespace pyane::mil::proto {
namespace {

/// A map's entry, which is a message { key 1, value 2 }.
struct Entry {
  std::string key;
  Field value;
};

Entry read_entry(File& file, const Field& field) {
  Entry entry;
  bool has_value = false;
  Message message(file, field);
  for (Field part; message.next(part);) {
    if (part.number == 1) entry.key = string(file, part);
    if (part.number == 2) {
      entry.value = part;
      has_value = true;
    }
  }
  if (!has_value) file.fail(field.place, "an entry must have a value");
  return entry;
}

std::string checked_name(const File& file, const std::byte* place, std::string name,
                         const char* what) {
  if (!is_name(name)) {
    file.fail(place, std::string(what) + " must match [A-Za-z_][A-Za-z0-9_@]*, got " +
                         encode_string(name));
  }
  return name;
}

template <typename Item>
void sort_by_name(const File& file, const std::byte* place, std::vector<Item>& items) {
  std::ranges::sort(items, {}, &Item::name);
  const auto twice = std::ranges::adjacent_find(items, {}, &Item::name);
  if (twice != items.end()) file.fail(place, encode_string(twice->name) + " is given twice");
}

Attribute read_attribute(File& file, const Field& field) {
  Entry entry = read_entry(file, field);
  return {.name = checked_name(file, field.place, std::move(entry.key), "name of an attribute"),
          .value = read_value(Message(file, entry.value)),
          .location = {}};
}

// NamedValueType { name 1, type 2 }
Value read_named_type(File& file, const Field& field) {
  Value value;
  bool has_type = false;
  Message message(file, field);
  for (Field part; message.next(part);) {
    if (part.number == 1) value.name = string(file, part);
    if (part.number == 2) {
      value.type = read_type(Message(file, part));
      has_type = true;
    }
  }
  value.name = checked_name(file, field.place, std::move(value.name), "name of a value");
  if (!has_type) file.fail(field.place, "value '" + value.name + "' must have a type");
  return value;
}

// Argument { arguments 1 { name 1 | value 2 } }
Argument read_argument(File& file, const Field& field) {
  Entry entry = read_entry(file, field);
  Argument argument;
  argument.name = checked_name(file, field.place, std::move(entry.key), "name of an argument");
  Message message(file, entry.value);
  for (Field binding; message.next(binding);) {
    if (binding.number != 1) continue;
    Message parts(file, binding);
    Operand operand;
    bool is_bound = false;
    for (Field part; parts.next(part);) {
      if (part.number == 1) {
        operand.value = checked_name(file, part.place, string(file, part), "name of a value");
        is_bound = true;
      } else if (part.number == 2) {
        operand.value = read_value(Message(file, part));
        is_bound = true;
      }
    }
    if (!is_bound) file.fail(binding.place, "an argument must name a value or hold one");
    argument.operands.push_back(std::move(operand));
  }
  return argument;
}

/// The text writes `values = (a)` for a tuple of one, which protobuf does not tell from `x = a`.
void mark_tuples(const File& file, const std::byte* place, Operation& operation) {
  const OpRecord* const record = find_op(operation.type);
  for (Argument& argument : operation.arguments) {
    const InputSpec* const spec = record != nullptr ? record->find_input(argument.name) : nullptr;
    argument.is_tuple = argument.operands.size() != 1 || (spec != nullptr && spec->is_variadic);
    if (argument.operands.empty() && (spec == nullptr || !spec->is_variadic)) {
      file.fail(place, "argument '" + argument.name + "' must have a value");
    }
  }
}

Block read_block(Message message);

// Operation { type 1, inputs 2, outputs 3, blocks 4, attributes 5 }
Operation read_operation(File& file, const Field& field) {
  Operation operation;
  Message message(file, field);
  for (Field part; message.next(part);) {
    switch (part.number) {
      case 1:
        operation.type = string(file, part);
        break;
      case 2:
        operation.arguments.push_back(read_argument(file, part));
        break;
      case 3:
        operation.outputs.push_back(read_named_type(file, part));
        break;
      case 4:
        operation.blocks.push_back(read_block(Message(file, part)));
        break;
      case 5:
        operation.attributes.push_back(read_attribute(file, part));
        break;
      default:
        break;
    }
  }
  operation.type =
      checked_name(file, field.place, std::move(operation.type), "type of an operation");
  sort_by_name(file, field.place, operation.arguments);
  sort_by_name(file, field.place, operation.attributes);
  mark_tuples(file, field.place, operation);
  return operation;
}

// Block { inputs 1, outputs 2, operations 3, attributes 4 }
Block read_block(Message message) {
  File& file = message.file();
  const Nesting nesting(file, message.rest().data());
  Block block;
  for (Field field; message.next(field);) {
    if (field.number == 1) block.parameters.push_back(read_named_type(file, field));
    if (field.number == 2) {
      block.outputs.push_back(
          {.value = checked_name(file, field.place, string(file, field), "name of an output"),
           .location = {}});
    }
    if (field.number == 3) block.operations.push_back(read_operation(file, field));
  }
  return block;
}

/// "CoreML7" is what MIL text calls ios17.
std::string opset_in_text(const File& file, const std::byte* place, const std::string& name) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 5> kOpsets = {{
      {"CoreML5", "ios15"},
      {"CoreML6", "ios16"},
      {"CoreML7", "ios17"},
      {"CoreML8", "ios18"},
      {"CoreML9", "ios26"},
  }};
  for (const auto& [proto, text] : kOpsets) {
    if (name == proto) return std::string(text);
  }
  return checked_name(file, place, name, "opset of a function");
}

// Function { inputs 1, opset 2, block_specializations 3 { opset: Block }, attributes 4 }
Function read_function(std::string name, File& file, const Field& field) {
  Function function;
  function.name = checked_name(file, field.place, std::move(name), "name of a function");
  std::string opset;
  std::vector<Entry> blocks;
  Message message(file, field);
  for (Field part; message.next(part);) {
    switch (part.number) {
      case 1:
        function.parameters.push_back(read_named_type(file, part));
        break;
      case 2:
        opset = string(file, part);
        break;
      case 3:
        blocks.push_back(read_entry(file, part));
        break;
      case 4:
        function.attributes.push_back(read_attribute(file, part));
        break;
      default:
        break;
    }
  }
  sort_by_name(file, field.place, function.attributes);
  const auto chosen = std::ranges::find(blocks, opset, &Entry::key);
  if (chosen == blocks.end()) {
    file.fail(field.place, "function '" + function.name + "' must have a body for its opset " +
                               encode_string(opset) + ", got " + std::to_string(blocks.size()) +
                               " for others");
  }
  function.opset = opset_in_text(file, field.place, opset);
  function.body = read_block(Message(file, chosen->value));
  return function;
}

}  // namespace

// Program { version 1, functions 2, attributes 4 }
Program read_program(Message message) {
  File& file = message.file();
  const std::byte* const place = message.rest().data();
  Program program;
  program.source_name = file.name;
  program.version = kTextVersion;
  for (Field field; message.next(field);) {
    if (field.number == 2) {
      Entry entry = read_entry(file, field);
      program.functions.push_back(read_function(std::move(entry.key), file, entry.value));
    } else if (field.number == 4) {
      program.attributes.push_back(read_attribute(file, field));
    }
  }
  sort_by_name(file, place, program.functions);
  sort_by_name(file, place, program.attributes);
  return program;
}

}  // namespace pyane::mil::proto
