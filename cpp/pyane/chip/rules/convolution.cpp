#include "pyane/chip/rules.h"

namespace pyane::chip {

std::vector<Rule> convolution_rules() { return {}; }

}  // namespace pyane::chip
