#include "pyane/chip/rules.h"

namespace pyane::chip {

std::vector<Rule> range_rules() { return {}; }

}  // namespace pyane::chip
