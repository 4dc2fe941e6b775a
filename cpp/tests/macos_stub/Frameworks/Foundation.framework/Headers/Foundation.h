#pragma once

// Declarations of what pyane uses, written from Apple's public documentation. For the cross-check
// only (cpp/tests/macos_stub/check.py); builds on macOS use Apple's own headers.

#include <CoreFoundation/CoreFoundation.h>
#include <objc/NSObject.h>
#include <objc/runtime.h>
#include <stddef.h>
#include <stdint.h>

@class NSArray, NSData, NSDictionary, NSError, NSString;

typedef NSUInteger NSStringEncoding;
enum { NSUTF8StringEncoding = 4 };

@protocol NSCopying
- (id)copyWithZone:(struct _NSZone*)zone;
@end

@interface NSString : NSObject <NSCopying>
- (instancetype)initWithBytes:(const void*)bytes
                       length:(NSUInteger)length
                     encoding:(NSStringEncoding)encoding;
@property(readonly) const char* UTF8String;
@end
// What literals are made of.
@interface NSSimpleCString : NSString
@end
@interface NSConstantString : NSSimpleCString
@end

@interface NSData : NSObject <NSCopying>
+ (instancetype)dataWithBytes:(const void*)bytes length:(NSUInteger)length;
@end

@interface NSNumber : NSObject <NSCopying>
+ (NSNumber*)numberWithChar:(char)value;
+ (NSNumber*)numberWithUnsignedChar:(unsigned char)value;
+ (NSNumber*)numberWithShort:(short)value;
+ (NSNumber*)numberWithUnsignedShort:(unsigned short)value;
+ (NSNumber*)numberWithInt:(int)value;
+ (NSNumber*)numberWithUnsignedInt:(unsigned int)value;
+ (NSNumber*)numberWithLong:(long)value;
+ (NSNumber*)numberWithUnsignedLong:(unsigned long)value;
+ (NSNumber*)numberWithLongLong:(long long)value;
+ (NSNumber*)numberWithUnsignedLongLong:(unsigned long long)value;
+ (NSNumber*)numberWithFloat:(float)value;
+ (NSNumber*)numberWithDouble:(double)value;
+ (NSNumber*)numberWithBool:(BOOL)value;
@property(readonly) long long longLongValue;
@end

@interface NSArray : NSObject <NSCopying>
+ (instancetype)arrayWithObjects:(const id*)objects count:(NSUInteger)count;
- (id)objectAtIndex:(NSUInteger)index;
@property(readonly) NSUInteger count;
@end

@interface NSMutableArray : NSArray
+ (instancetype)array;
- (void)addObject:(id)object;
@end

@interface NSDictionary : NSObject <NSCopying>
+ (instancetype)dictionaryWithObjects:(const id*)objects
                              forKeys:(const id*)keys
                                count:(NSUInteger)count;
- (id)objectForKey:(id)key;
@end

@interface NSMutableDictionary : NSDictionary
+ (instancetype)dictionary;
- (void)setObject:(id)object forKey:(id<NSCopying>)key;
@end

@interface NSError : NSObject
@property(readonly) NSInteger code;
@property(readonly, copy) NSString* domain;
@property(readonly, copy) NSString* localizedDescription;
@property(readonly, copy) NSDictionary* userInfo;
@end

__attribute__((__objc_exception__))
@interface NSException : NSObject
@property(readonly, copy) NSString* name;
@property(readonly, copy) NSString* reason;
@end

#ifdef __cplusplus
extern "C" {
#endif
extern NSString* const NSUnderlyingErrorKey;
Class NSClassFromString(NSString* name);
NSString* NSStringFromSelector(SEL selector);
NSString* NSTemporaryDirectory(void);
#ifdef __cplusplus
}
#endif
