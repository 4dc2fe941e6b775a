#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "pyane/base/error.h"
#include "pyane/mil/parser.h"
#include "pyane/mil/printer.h"

// Any bytes: either a MilSyntaxError, or a program that prints to text of an equal program.

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  pyane::mil::Program program;
  try {
    program = pyane::mil::parse(text, "fuzz.mil");
  } catch (const pyane::MilSyntaxError& error) {
    if (error.line < 1 || error.column < 1) std::abort();
    return 0;
  }
  const std::string printed = pyane::mil::print(program);
  const pyane::mil::Program again = pyane::mil::parse(printed, "printed.mil");
  if (!(again == program) || pyane::mil::print(again) != printed) std::abort();
  return 0;
}
