#include "pyane/chip/rules.h"

namespace pyane::chip {

std::vector<Rule> shape_rules() { return {}; }

}  // namespace pyane::chip
