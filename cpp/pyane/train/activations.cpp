#include "pyane/train/activations.h"

#include <limits>
#include <string>

#include "pyane/base/error.h"

namespace pyane {

void check_size(const char* where, const char* what, const char* layout, std::size_t actual,
                std::size_t expected) {
  if (actual == expected) return;
  throw ShapeError(std::string(where) + ": " + what + " must have " + std::to_string(expected) +
                   " elements " + layout + ", got " + std::to_string(actual));
}

void check_shape(const char* where, const ActivationShape& shape) {
  if (shape.channels == 0) {
    throw ShapeError(std::string(where) + ": C must be at least 1, got 0");
  }
  // The product must not wrap around and then match a small buffer.
  constexpr std::size_t kLimit = std::numeric_limits<std::size_t>::max() / sizeof(double);
  std::size_t room = kLimit / shape.channels;
  if (shape.batch != 0) room /= shape.batch;
  if (shape.positions > room) {
    throw ShapeError(std::string(where) + ": B * C * S = " + std::to_string(shape.batch) + " * " +
                     std::to_string(shape.channels) + " * " + std::to_string(shape.positions) +
                     " elements do not fit in memory");
  }
}

}  // namespace pyane
