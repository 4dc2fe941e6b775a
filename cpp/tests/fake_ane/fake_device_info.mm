#include "fake_classes.h"
#include "fake_state.h"

using fake_ane::state;

// Facts of an M4, except the name, which must not look like one in a report.
@implementation _ANEDeviceInfo

+ (BOOL)hasANE {
  return state().has_ane;
}
+ (BOOL)isVirtualMachine {
  return state().is_virtual_machine;
}
+ (std::uint32_t)numANEs {
  return 1;
}
+ (std::uint32_t)numANECores {
  return 16;
}
+ (NSString*)aneArchitectureType {
  return @"h16g";
}
+ (NSString*)aneSubType {
  return @"h16";
}
+ (std::int64_t)aneBoardType {
  return 0;
}
+ (NSString*)productName {
  return @"stand-in for tests (GNUstep)";
}
+ (NSString*)buildVersion {
  return @"none";
}

@end

const char* fake_ane_temporary_folder(void) {
  static std::string folder;
  @autoreleasepool {
    folder = [NSTemporaryDirectory() UTF8String];
  }
  return folder.c_str();
}
