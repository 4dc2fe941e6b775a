#include "pyane/chip/rules.h"

namespace pyane::chip {

std::vector<Rule> weight_rules() { return {}; }

}  // namespace pyane::chip
