#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "pyane/base/error.h"
#include "pyane/mil/parser.h"
#include "pyane/mil/printer.h"
#include "pyane/mil/proto/model_spec.h"

// Any bytes: no model, with the byte at fault, or a program whose text parses back to it.

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // A copy of exactly this size lets the sanitizer see one byte too many.
  const auto* const begin = reinterpret_cast<const std::byte*>(data);
  const std::vector<std::byte> file(begin, begin + size);
  std::string text;
  pyane::mil::Program program;
  try {
    program = pyane::mil::proto::read_model_spec(file, "fuzz").program;
    text = print(program);
  } catch (const pyane::ModelError&) {
    return 0;
  }
  try {
    if (pyane::mil::parse(text) != program) std::abort();
  } catch (const pyane::MilSyntaxError& error) {
    // Text has limits of its own: of all item types together, say.
    if (std::strstr(error.what(), "at most") == nullptr) throw;
  }
  return 0;
}
