#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "check.h"
#include "pyane/base/cpu.h"
#include "pyane/emulator/emulator_device.h"

// Memory that convolutions stage, read beyond and share, for the sanitizers, on every instruction
// set. What they compute is tested from Python.

namespace {

struct Shape {
  int channels;
  int height;
  int width;
  int filters;
  int kernel;
  int stride;
};

std::string dims(std::initializer_list<int> values) {
  std::string text;
  for (const int value : values) text += (text.empty() ? "" : ", ") + std::to_string(value);
  return "[" + text + "]";
}

std::string attributes(const Shape& s) {
  const std::string stride = std::to_string(s.stride);
  const std::string pad = std::to_string(s.kernel / 2);
  return "strides = tensor<int32, [2]>([" + stride + ", " + stride +
         "]), pad_type = string(\"custom\"), pad = tensor<int32, [4]>([" + pad + ", " + pad + ", " +
         pad + ", " + pad +
         "]), dilations = tensor<int32, [2]>([1, 1]), groups = int32(1))[name = string(\"y\")];";
}

int output(const Shape& s, int n) { return (n + s.kernel / 2 * 2 - s.kernel) / s.stride + 1; }

std::string result(const Shape& s) {
  return "tensor<fp16, " + dims({1, s.filters, output(s, s.height), output(s, s.width)}) +
         "> y = conv(x = ";
}

std::string with_weight_as_input(const Shape& s) {
  return "program(1.3)\n{\n  func main<ios18>(tensor<fp16, " +
         dims({s.filters, s.channels, s.kernel, s.kernel}) + "> w, tensor<fp16, " +
         dims({1, s.channels, s.height, s.width}) + "> x) {\n    " + result(s) + "x, weight = w, " +
         attributes(s) + "\n  } -> (y);\n}\n";
}

/// A literal of the given dimensions: -127, -126, ..., 127, -127, ...
std::string nested(const std::vector<int>& sizes, std::size_t dim = 0, int first = 0) {
  if (dim == sizes.size()) return std::to_string(first % 255 - 127);
  int inner = 1;
  for (std::size_t i = dim + 1; i < sizes.size(); ++i) inner *= sizes[i];
  std::string text = "[";
  for (int i = 0; i < sizes[dim]; ++i) {
    text += (i == 0 ? "" : ", ") + nested(sizes, dim + 1, first + i * inner);
  }
  return text + "]";
}

std::string of_integers(const Shape& s) {
  const std::string levels = nested({s.filters, s.channels, s.kernel, s.kernel});
  const std::string x = dims({1, s.channels, s.height, s.width});
  const std::string w = dims({s.filters, s.channels, s.kernel, s.kernel});
  return "program(1.3)\n{\n  func main<ios18>(tensor<int8, " + x + "> x) {\n    tensor<fp16, " + x +
         "> xq = dequantize(input = x, scale = fp16(0x1p-9), zero_point = int8(3))[name = "
         "string(\"xq\")];\n    tensor<fp16, " +
         w + "> w = constexpr_affine_dequantize(quantized_data = tensor<int8, " + w + ">(" +
         levels +
         "), scale = fp16(0x1p-9), zero_point = int8(0), axis = int32(0))[name = "
         "string(\"w\")];\n    " +
         result(s) + "xq, weight = w, " + attributes(s) + "\n  } -> (y);\n}\n";
}

void evaluate(const std::string& text) {
  auto device = pyane::emulator::create_device();
  auto kernel = device->compile({.text = text, .weights = {}}, {});
  std::vector<std::shared_ptr<pyane::Surface>> inputs;
  for (std::size_t i = 0; i < kernel->inputs().size(); ++i) {
    inputs.push_back(pyane::create_surface(kernel->surface_bytes()));
  }
  const auto out = pyane::create_surface(kernel->surface_bytes());
  kernel->bind(inputs, {out})->evaluate();
}

constexpr Shape kShapes[] = {
    {3, 13, 21, 5, 3, 1},     // read in place
    {20, 13, 21, 9, 3, 1},    // in place, patches in two parts
    {4, 15, 19, 7, 3, 2},     // by pairs
    {3, 9, 10, 4, 5, 3},      // element by element
    {9, 6, 3, 70, 3, 1},      // packed
    {5, 243, 261, 3, 3, 1},   // bands
    {5, 251, 301, 17, 3, 2},  // bands, by pairs
    {6, 7, 33, 29, 1, 1},
};

}  // namespace

int main() {
  for (const pyane::Isa isa : pyane::available_isas()) {
    pyane::set_isa(pyane::isa_name(isa));
    for (const Shape& shape : kShapes) {
      evaluate(with_weight_as_input(shape));
      evaluate(of_integers(shape));
    }
  }
  return 0;
}
