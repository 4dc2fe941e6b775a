#pragma once

#include <string>

#include "pyane/mil/program.h"

namespace pyane::mil {

/// MIL text of a program, laid out as Apple's compiler lays it out. parse(print(p)) == p for every
/// program that parse can make; floats are written as hex floats so that no bit is lost.
std::string print(const Program& program);

}  // namespace pyane::mil
