#pragma once

#import <Foundation/Foundation.h>

#include <cstdint>
#include <optional>
#include <string>

// How Objective-C calls leave their autorelease pool. A C++ exception that leaves @autoreleasepool
// does not drain the pool, on Apple's runtime either, and an Objective-C exception that meets a C++
// catch aborts. So: bodies run in here, failures come out by value, callers throw after the pool.

namespace pyane {

/// What went wrong inside a guarded body.
struct ObjcFailure {
  std::string message;
  std::string domain;  ///< NSError domain; "NSException" for a raised exception; else empty.
  std::int64_t code = 0;

  /// " (NSError domain=..., code=...): message", or ": message" when there was no NSError.
  std::string text() const {
    if (domain.empty()) return ": " + message;
    const bool is_exception = domain == "NSException";
    return (is_exception ? " (NSException)"
                         : " (NSError domain=" + domain + ", code=" + std::to_string(code) + ")") +
           ": " + message;
  }
};

inline std::string to_string(NSString* string) {
  const char* bytes = [string UTF8String];
  return bytes == nullptr ? std::string() : std::string(bytes);
}

/// Needs a pool. `error` may be nil: a call that failed without saying why.
inline ObjcFailure to_failure(NSError* error) {
  if (error == nil) return {.message = "no NSError was given", .domain = {}};
  ObjcFailure failure{.message = to_string([error localizedDescription]),
                      .domain = to_string([error domain]),
                      .code = [error code]};
  NSError* cause = [[error userInfo] objectForKey:NSUnderlyingErrorKey];
  if (cause != nil) {
    failure.message += " (caused by domain=" + to_string([cause domain]) +
                       ", code=" + std::to_string([cause code]) + ": " +
                       to_string([cause localizedDescription]) + ")";
  }
  return failure;
}

/// Runs `body`, which returns std::optional<ObjcFailure> and does not throw, in a pool of its own.
/// An NSException becomes a failure too.
template <typename Body>
std::optional<ObjcFailure> guarded(Body&& body) {
  std::optional<ObjcFailure> failure;
  @autoreleasepool {
    @try {
      failure = body();
    } @catch (NSException* exception) {
      failure =
          ObjcFailure{.message = to_string([exception name]) + ": " + to_string([exception reason]),
                      .domain = "NSException"};
    }
  }
  return failure;
}

}  // namespace pyane
