#include "pyane/chip/rules.h"

namespace pyane::chip {

std::vector<Rule> matmul_rules() { return {}; }

}  // namespace pyane::chip
