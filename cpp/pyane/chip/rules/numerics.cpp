#include "pyane/chip/rules.h"

namespace pyane::chip {

std::vector<Rule> numerics_rules() { return {}; }

}  // namespace pyane::chip
