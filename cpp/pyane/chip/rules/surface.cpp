#include "pyane/chip/rules.h"

namespace pyane::chip {

std::vector<Rule> surface_rules() { return {}; }

}  // namespace pyane::chip
