#include "pyane/chip/rules.h"

namespace pyane::chip {

std::vector<Rule> speed_rules() { return {}; }

}  // namespace pyane::chip
