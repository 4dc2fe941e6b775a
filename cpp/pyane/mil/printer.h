#pragma once

#include <string>

#include "pyane/mil/program.h"

namespace pyane::mil {

/// MIL text of a program, laid out as Apple's compiler lays it out. parse(print(p)) == p for every
/// program that parse can make; no bit of a number is lost (NaN: its payload).
std::string print(const Program& program);
/// The parts of a program, as they stand in its text.
std::string print(const Function& function);
std::string print(const Operation& operation);
std::string print(const Literal& literal);

}  // namespace pyane::mil
