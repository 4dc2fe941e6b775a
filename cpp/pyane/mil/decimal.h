#pragma once

#include <string>
#include <string_view>

// Decimal text to and from binary floating point, independent of the process's locale.

namespace pyane::mil {

enum class DecimalStatus { kOk, kMalformed, kTooLarge };

/// Nearest fp64 or fp32 of an unsigned decimal number; what is too small becomes zero.
DecimalStatus parse_decimal(std::string_view text, double& value);
DecimalStatus parse_decimal(std::string_view text, float& value);

/// Compares the exact number that unsigned, well-formed `text` stands for with `value` > 0:
/// negative, 0 or positive as text <, ==, > value.
int compare_decimal(std::string_view text, double value);

/// Appends `value` >= 0 (finite) with 15 significant digits, or 17 when 15 do not give it back:
/// what protobuf, and with it Apple's compiler, writes.
void append_decimal(std::string& out, double value);

}  // namespace pyane::mil
