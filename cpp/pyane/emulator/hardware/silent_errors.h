#pragma once

#include <string_view>

#include "pyane/chip/profile.h"
#include "pyane/mil/verifier.h"

// What a chip silently gets wrong, as changes of the function before it is planned. Only what can
// be defined from the sources is here; docs/numerics.md says how faithful each is, and which errors
// are left out because nobody has said what they give.

namespace pyane::emulator::hardware {

/// `function` as the chip computes it:
///
/// - M5: a scalar that multiplies a floor, ceil or round counts as 1;
/// - before M4: in a concat of several slices that begin inside the last axis, all of them begin
///   where the first one does (a stand-in: which elements are wrong is not published). Slices that
///   something else reads as well, or whose bounds are not all known and positive, stay right;
/// - M3: the weight of a convolution that is not a constant counts as zeros;
/// - where the profile says so: native attention takes no notice of its mask.
mil::VerifiedFunction with_silent_errors(mil::VerifiedFunction function, const chip::Profile& chip);

/// Whether evaluating the function makes every later evaluation fail on this chip.
bool poisons(const mil::VerifiedFunction& function, const chip::Profile& chip);

}  // namespace pyane::emulator::hardware
