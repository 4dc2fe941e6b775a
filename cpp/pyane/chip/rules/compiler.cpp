#include "pyane/chip/rules.h"

namespace pyane::chip {

std::vector<Rule> compiler_rules() { return {}; }

}  // namespace pyane::chip
