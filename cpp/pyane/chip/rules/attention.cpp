#include "pyane/chip/rules.h"

namespace pyane::chip {

std::vector<Rule> attention_rules() { return {}; }

}  // namespace pyane::chip
