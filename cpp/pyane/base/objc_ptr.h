#pragma once

#import <Foundation/Foundation.h>

#include <utility>

#if __has_feature(objc_arc)
#error "pyane's Objective-C++ is written for manual retain/release (-fno-objc-arc)"
#endif

namespace pyane {

/// Strong reference to an Objective-C object: retains on construction, releases on destruction.
/// `T` is a pointer to an object: `NSString*`, `id<AneModel>`.
template <typename T>
class ObjcPtr {
 public:
  ObjcPtr() = default;
  explicit ObjcPtr(T object) : object_([object retain]) {}
  ObjcPtr(const ObjcPtr& other) : object_([other.object_ retain]) {}
  ObjcPtr(ObjcPtr&& other) noexcept : object_(std::exchange(other.object_, nil)) {}
  ObjcPtr& operator=(ObjcPtr other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~ObjcPtr() { [object_ release]; }

  T get() const { return object_; }
  explicit operator bool() const { return object_ != nil; }

 private:
  T object_ = nil;
};

}  // namespace pyane
