#pragma once

#include <string>
#include <string_view>

#include "pyane/mil/program.h"

namespace pyane::mil {

/// Parses MIL text.
///
/// @param text  UTF-8; borrowed for the call only.
/// @param source_name  What to call the text in messages, e.g. its file name.
/// @throws MilSyntaxError  `source_name:line:column: expected ..., got ...`, the line, a caret.
Program parse(std::string_view text, std::string source_name = "<text>");

}  // namespace pyane::mil
