#pragma once

// The part of <IOSurface/IOSurface.h> and <CoreFoundation/CoreFoundation.h> that pyane uses, for
// the GNUstep build; implemented in iosurface_shim.mm. Signatures from Apple's documentation.

#import <Foundation/Foundation.h>

#include <cstddef>
#include <cstdint>

extern "C" {

using CFTypeRef = const void*;
using CFStringRef = const struct __CFString*;
using CFDictionaryRef = const struct __CFDictionary*;
using CFTypeID = unsigned long;
using IOSurfaceRef = struct __IOSurface*;
using IOSurfaceID = std::uint32_t;
using kern_return_t = int;

using IOSurfaceLockOptions = std::uint32_t;
enum : IOSurfaceLockOptions { kIOSurfaceLockReadOnly = 1, kIOSurfaceLockAvoidSync = 2 };

extern const CFStringRef kIOSurfaceWidth;
extern const CFStringRef kIOSurfaceHeight;
extern const CFStringRef kIOSurfaceBytesPerElement;
extern const CFStringRef kIOSurfaceBytesPerRow;
extern const CFStringRef kIOSurfaceAllocSize;
extern const CFStringRef kIOSurfacePixelFormat;

IOSurfaceRef IOSurfaceCreate(CFDictionaryRef properties);
IOSurfaceRef IOSurfaceLookup(IOSurfaceID id);
CFTypeID IOSurfaceGetTypeID(void);
kern_return_t IOSurfaceLock(IOSurfaceRef surface, IOSurfaceLockOptions options,
                            std::uint32_t* seed);
kern_return_t IOSurfaceUnlock(IOSurfaceRef surface, IOSurfaceLockOptions options,
                              std::uint32_t* seed);
void* IOSurfaceGetBaseAddress(IOSurfaceRef surface);
std::size_t IOSurfaceGetAllocSize(IOSurfaceRef surface);
IOSurfaceID IOSurfaceGetID(IOSurfaceRef surface);

CFTypeID CFGetTypeID(CFTypeRef object);
CFTypeRef CFRetain(CFTypeRef object);
void CFRelease(CFTypeRef object);
}
