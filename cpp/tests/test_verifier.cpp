#include <string>

#include "check.h"
#include "pyane/base/error.h"
#include "pyane/mil/parser.h"
#include "pyane/mil/verifier.h"

// What the sanitizers are for: contexts that point into a verified function, and arguments chosen
// to overflow.

namespace {

using pyane::MilVerifyError;
using pyane::mil::parse;
using pyane::mil::Program;
using pyane::mil::VerifiedFunction;
using pyane::mil::verify;

std::string text(const std::string& parameters, const std::string& body) {
  return "program(1.3) { func main<ios18>(" + parameters + ") { " + body + " } -> (y); }";
}

void check_refused(const std::string& parameters, const std::string& body) {
  const Program program = parse(text(parameters, body));
  CHECK_THROWS(MilVerifyError, verify(program, program.functions[0], nullptr));
}

void test_contexts_outlive_the_call() {
  const Program program =
      parse(text("tensor<fp16, [1, 4, 8, 8]> x",
                 "string t = const()[val = string(\"same\")];"
                 "tensor<fp16, [1, 6, 4, 8]> y = conv(x = x, strides = tensor<int32, [2]>([2, 1]),"
                 "weight = tensor<fp16, [6, 4, 1, 1]>(BLOBFILE(path = string(\"w.bin\"),"
                 "offset = uint64(64))), pad_type = t);"));
  VerifiedFunction moved;
  {
    VerifiedFunction function = verify(program, program.functions[0], nullptr);
    moved = std::move(function);
  }
  CHECK(moved.operations.size() == 1);
  const auto context = moved.context(moved.operations[0]);
  CHECK(context.string("pad_type") == "same");
  CHECK((context.integers("strides") == std::vector<std::int64_t>{2, 1}));
  CHECK((context.integers("dilations") == std::vector<std::int64_t>{1, 1}));
  CHECK((context.integers("pad") == std::vector<std::int64_t>{0, 0, 0, 0}));
  CHECK(context.integer("groups") == 1);
  CHECK(!context.has("bias"));
  CHECK(context.constant("weight") == nullptr);
  CHECK((context.dims("weight") == pyane::Shape{6, 4, 1, 1}));
}

void test_overflow_is_refused() {
  const std::string row = "tensor<fp16, [?, 2147483647]> x";
  check_refused(row, "tensor<fp16, [?, ?]> y = tile(x = x, reps = tensor<int32, [2]>([1, 2]));");
  check_refused(row,
                "tensor<fp16, [?, ?]> a = concat(values = (x, x), axis = int32(1),"
                "interleave = bool(false)); tensor<fp16, [?, ?]> y = relu(x = a);");
  check_refused(row,
                "tensor<fp16, [?, ?]> y = pad(x = x,"
                "pad = tensor<int32, [4]>([0, 0, 2147483647, 2147483647]));");
  check_refused(row,
                "tensor<fp16, [?]> y, tensor<fp16, [?]> b = split(x = x,"
                "num_splits = int32(2147483647), axis = int32(1));");
  const std::string image = "tensor<fp16, [?, 1048576, ?, 1048576]> x";
  check_refused(image,
                "tensor<fp16, [?, ?, ?, ?]> y = space_to_depth(x = x,"
                "block_size = int32(1048576));");
  check_refused(image,
                "tensor<fp16, [?, ?, ?, ?]> y = upsample_nearest_neighbor(x = x,"
                "scale_factor_width = fp32(0x1p+120));");
  check_refused(image,
                "tensor<fp16, [?, ?, ?, ?]> y = max_pool(x = x, pad_type = string(\"custom\"),"
                "pad = tensor<int32, [4]>([2147483647, 2147483647, 2147483647, 2147483647]),"
                "strides = tensor<int32, [2]>([2147483647, 2147483647]),"
                "kernel_sizes = tensor<int32, [2]>([2147483647, -2147483648]));");
  check_refused(image,
                "tensor<fp16, [?, ?, ?, ?]> y = slice_by_index(x = x,"
                "begin = tensor<int32, [4]>([0, -2147483648, 0, 0]),"
                "end = tensor<int32, [4]>([0, -2147483648, 0, 0]),"
                "stride = tensor<int32, [4]>([1, -2147483648, 1, 1]));");
  check_refused("tensor<fp16, [4]> x",
                "tensor<fp16, [?, ?]> y = constexpr_lut_to_dense(lut = tensor<fp16, [2]>([0, 1]),"
                "indices = tensor<uint8, [1]>([1]),"
                "shape = tensor<uint32, [2]>([4294967295, 4294967295]));");
  check_refused("tensor<fp16, [4]> x",
                "tensor<fp32, [?]> y = range_1d(start = fp32(0), end = fp32(inf),"
                "step = fp32(0x1p-149));");
}

}  // namespace

int main() {
  test_contexts_outlive_the_call();
  test_overflow_is_refused();
  return 0;
}
