#include "pyane/chip/rules.h"

namespace pyane::chip {

std::vector<Rule> dtype_rules() { return {}; }

}  // namespace pyane::chip
