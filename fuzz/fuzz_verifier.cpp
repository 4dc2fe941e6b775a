#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "mil_input.h"
#include "pyane/base/error.h"
#include "pyane/chip/check.h"
#include "pyane/mil/parser.h"
#include "pyane/mil/verifier.h"

// Any program: verified, or refused with a place inside the text, with weights and without; and
// what verifies is linted for every chip.

namespace {

void verify(const pyane::mil::Program& program, const pyane::mil::WeightFiles* weights) {
  for (const pyane::mil::Function& function : program.functions) {
    try {
      static_cast<void>(pyane::mil::verify(program, function, weights));
    } catch (const pyane::MilVerifyError& error) {
      if (error.line < 1 || error.column < 1) std::abort();
    } catch (const pyane::UnsupportedOpError& error) {
      if (error.line < 1 || error.column < 1) std::abort();
    } catch (const pyane::BlobError&) {
      if (weights == nullptr) std::abort();
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const pyane::fuzz::ModelInput input = pyane::fuzz::split_model(data, size);
  pyane::mil::Program program;
  try {
    program = pyane::mil::parse(input.text, "fuzz.mil");
  } catch (const pyane::MilSyntaxError&) {
    return 0;
  }
  const pyane::mil::WeightFiles files = pyane::fuzz::weight_files(program, input.weights);
  verify(program, nullptr);
  verify(program, &files);

  std::vector<const pyane::chip::Profile*> chips;
  for (const pyane::chip::Profile& chip : pyane::chip::profiles()) chips.push_back(&chip);
  const pyane::mil::Model model{
      .text = std::string(input.text), .weights = files, .source_name = "fuzz.mil"};
  try {
    for (const pyane::chip::Diagnostic& found : pyane::chip::check(model, chips)) {
      if (found.line < 0 || found.message.empty()) std::abort();
    }
  } catch (const pyane::Error&) {
  }
  return 0;
}
