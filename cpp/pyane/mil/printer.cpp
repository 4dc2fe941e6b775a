#include "pyane/mil/printer.h"

#include <algorithm>
#include <string_view>

#include "pyane/mil/lexer.h"
#include "pyane/mil/number.h"

namespace pyane::mil {
namespace {

// Spaces before each line, as Apple's compiler has them.
constexpr std::size_t kFunctionIndent = 4;
constexpr std::size_t kOperationIndent = 12;
constexpr std::size_t kBodyEndIndent = 8;
constexpr std::size_t kBlockIndent = 4;  // Further in, for a block nested in an operation.

class Printer {
 public:
  std::string take() { return std::move(out_); }

  void program(const Program& program) {
    put("program(").put(program.version).put(")\n");
    if (!program.attributes.empty()) {
      attributes(program.attributes);
      put("\n");
    }
    put("{\n");
    bool is_first = true;
    for (const Function& f : program.functions) {
      if (!is_first) put("\n");
      is_first = false;
      function(f);
    }
    put("}");
  }

  void type(const Type& t) {
    switch (t.kind) {
      case Type::Kind::kTensor:
        if (t.short_form && t.dims.empty()) {
          put(dtype_name(t.dtype));
        } else {
          put("tensor<").put(dtype_name(t.dtype)).put(", ").put(to_string(t.dims)).put(">");
        }
        return;
      case Type::Kind::kTensorBuffer:
        put("tensor_buffer<").put(dtype_name(t.dtype)).put(", shape=").put(to_string(t.dims));
        if (!t.strides.empty()) put(", strides=").put(to_string(t.strides));
        if (!t.interleave_factors.empty()) {
          put(", interleave_factors=").put(to_string(t.interleave_factors));
        }
        put(">");
        return;
      case Type::Kind::kList:
        put("list<");
        type(t.elements.front());
        put(", ").put(t.length == kUnknownDim ? "?" : std::to_string(t.length)).put(">");
        return;
      case Type::Kind::kDict:
        return parts("dict<", t.elements, ">", &Printer::type);
      case Type::Kind::kTuple:
        return parts("tuple<", t.elements, ">", &Printer::type);
      case Type::Kind::kState:
        return parts("state<", t.elements, ">", &Printer::type);
    }
  }

  void function(const Function& f) {
    indent(kFunctionIndent).put("func ").put(f.name);
    opset(f.opset);
    parts("(", f.parameters, ") ", &Printer::value);
    if (!f.attributes.empty()) {
      attributes(f.attributes);
      put(" ");
    }
    body(f.body, 0);
    put(";\n");
  }

  void operation(const Operation& o, std::size_t deeper) {
    parts("", o.outputs, o.outputs.empty() ? "" : " = ", &Printer::value);
    put(o.type);
    opset(o.opset);
    parts("(", o.arguments, ")", &Printer::argument);
    if (!o.attributes.empty()) attributes(o.attributes);
    bool is_first = true;
    for (const Block& block : o.blocks) {
      put(is_first ? " " : ", ").put(block.name);
      is_first = false;
      parts("(", block.parameters, ") ", &Printer::value);
      body(block, deeper + kBlockIndent);
    }
    put(";");
  }

  void literal(const Literal& l) {
    type(l.type);
    put("(");
    payload(l, FloatStyle::kHexadecimal);
    put(")");
  }

 private:
  Printer& put(std::string_view text) {
    out_ += text;
    return *this;
  }
  Printer& indent(std::size_t n) {
    out_.append(n, ' ');
    return *this;
  }

  template <typename Item, typename Print>
  void parts(std::string_view open, const std::vector<Item>& items, std::string_view close,
             Print print_item) {
    put(open);
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (i != 0) put(", ");
      (this->*print_item)(items[i]);
    }
    put(close);
  }

  void opset(const std::string& name) {
    if (!name.empty()) put("<").put(name).put(">");
  }

  void body(const Block& block, std::size_t deeper) {
    put("{\n");
    for (const Operation& o : block.operations) {
      indent(kOperationIndent + deeper);
      operation(o, deeper);
      put("\n");
    }
    indent(kBodyEndIndent + deeper);
    parts("} -> (", block.outputs, ")", &Printer::operand);
  }

  void value(const Value& v) {
    type(v.type);
    put(" ").put(v.name);
  }

  void argument(const Argument& a) {
    put(a.name).put(" = ");
    if (a.is_tuple) return parts("(", a.operands, ")", &Printer::operand);
    operand(a.operands.front());
  }

  void operand(const Operand& o) {
    if (o.is_name()) {
      put(o.name());
    } else {
      literal(o.literal());
    }
  }

  void attributes(const std::vector<Attribute>& list) {
    parts("[", list, "]", &Printer::attribute);
  }

  void attribute(const Attribute& a) {
    put(a.name).put(" = ");
    literal(a.value);
  }

  // Apple's compiler writes the floats of a dict in decimal, all others in hexadecimal.
  void item(const Literal& l) { payload(l, FloatStyle::kDecimal); }

  void payload(const Literal& l, FloatStyle style) {
    if (const auto* const blob = std::get_if<BlobReference>(&l.payload))
      return blob_reference(*blob);
    if (const auto* const items = std::get_if<std::vector<Literal>>(&l.payload)) {
      if (l.type.kind == Type::Kind::kDict) return dict(*items);
      const bool is_list = l.type.kind == Type::Kind::kList;
      return parts(is_list ? "[" : "(", *items, is_list ? "]" : ")", &Printer::item);
    }
    tensor(l, l.type.dims.empty() ? style : FloatStyle::kHexadecimal);
  }

  void dict(const std::vector<Literal>& items) {
    put("{");
    for (std::size_t i = 0; i + 1 < items.size(); i += 2) {
      put(i != 0 ? ", {" : "{");
      item(items[i]);
      put(", ");
      item(items[i + 1]);
      put("}");
    }
    put("}");
  }

  void blob_reference(const BlobReference& blob) {
    const std::string_view string_type = blob.short_form ? "string" : "tensor<string, []>";
    const std::string_view offset_type = blob.short_form ? "uint64" : "tensor<uint64, []>";
    put("BLOBFILE(path = ").put(string_type).put("(").put(encode_string(blob.path));
    put("), offset = ").put(offset_type).put("(").put(std::to_string(blob.offset)).put("))");
  }

  void tensor(const Literal& l, FloatStyle style) {
    const auto* const strings = std::get_if<std::vector<std::string>>(&l.payload);
    const auto* const bytes = std::get_if<TensorBytes>(&l.payload);
    const std::size_t size = bytes != nullptr ? dtype_size(l.type.dtype) : 1;
    const std::size_t count = bytes != nullptr ? bytes->size() / size : strings->size();
    const auto element = [&](std::size_t i) {
      if (strings != nullptr) {
        put(encode_string((*strings)[i]));
      } else if (l.type.dtype == DType::kBool) {
        put((*bytes)[i] != std::byte{0} ? "true" : "false");
      } else {
        append_number(out_, l.type.dtype, bytes->data() + i * size, style);
      }
    };
    if (l.type.dims.empty()) return element(0);
    if (count == 0) return static_cast<void>(put("[]"));
    // Row-major: a bracket opens or closes wherever a product of trailing dimensions divides the
    // index. The outermost product is the count itself, which also stands for a `?` there.
    std::vector<std::size_t> blocks = trailing_products(l.type.dims, count);
    for (std::size_t i = 0; i < count; ++i) {
      if (i != 0) put(", ");
      for (const std::size_t block : blocks) {
        if (i % block == 0) put("[");
      }
      element(i);
      for (const std::size_t block : blocks) {
        if ((i + 1) % block == 0) put("]");
      }
    }
  }

  // Elements below each bracket, outermost first; one dimension may be unknown.
  static std::vector<std::size_t> trailing_products(const Shape& dims, std::size_t count) {
    std::size_t known = 1;
    for (const std::int64_t dim : dims) {
      if (dim != kUnknownDim) known *= static_cast<std::size_t>(dim);
    }
    std::vector<std::size_t> products(dims.size());
    std::size_t product = 1;
    for (std::size_t i = dims.size(); i-- > 0;) {
      product *= dims[i] == kUnknownDim ? count / known : static_cast<std::size_t>(dims[i]);
      products[i] = product;
    }
    return products;
  }

  std::string out_;
};

}  // namespace

std::string print(const Program& program) {
  Printer printer;
  printer.program(program);
  return printer.take();
}

std::string print(const Function& function) {
  Printer printer;
  printer.function(function);
  return printer.take();
}

std::string print(const Operation& operation) {
  Printer printer;
  printer.operation(operation, 0);
  return printer.take();
}

std::string print(const Literal& literal) {
  Printer printer;
  printer.literal(literal);
  return printer.take();
}

std::string to_string(const Type& type) {
  Printer printer;
  printer.type(type);
  return printer.take();
}

}  // namespace pyane::mil
