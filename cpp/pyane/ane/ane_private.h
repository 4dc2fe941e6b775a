#pragma once

#import <Foundation/Foundation.h>
#import <IOSurface/IOSurface.h>

#include <cstdint>

// Typed views of the private classes of AppleNeuralEngine.framework that pyane talks to. Message
// sends through them are checked by the compiler and need no objc_msgSend casts. The classes are
// found by name at run time (ane_framework.mm); nothing here is linked against.
//
// Evidence: [called] several public programs call it (macOS 15 and 26, M1 to M5); [dump] seen in a
// class dump of iOS 17 or macOS 27; [one] a single source. Whatever is not [called] is asked for
// with respondsToSelector: first. docs/ane.md has the sources.

/// _ANEInMemoryModelDescriptor
@protocol AneDescriptor <NSObject>
/// [called] `text` is UTF-8 MIL as NSData, never NSString. `weights` is never nil:
/// { path in the text: { @"offset": @0, @"data": NSData } }. nil when refused.
+ (id<AneDescriptor>)modelWithMILText:(NSData*)text
                              weights:(NSDictionary*)weights
                         optionsPlist:(NSData*)options;
@end

/// _ANEInMemoryModel
@protocol AneModel <NSObject>
/// [called]
+ (id<AneModel>)inMemoryModelWithDescriptor:(id<AneDescriptor>)descriptor;
/// [called] Hash of text and weights; names the folder the compiler reads.
- (NSString*)hexStringIdentifier;
/// [called] B36@0:8I16@20^@28
- (BOOL)compileWithQoS:(std::uint32_t)qos options:(NSDictionary*)options error:(NSError**)error;
/// [called] B36@0:8I16@20^@28
- (BOOL)loadWithQoS:(std::uint32_t)qos options:(NSDictionary*)options error:(NSError**)error;
/// [called] B44@0:8I16@20@28^@36
- (BOOL)evaluateWithQoS:(std::uint32_t)qos
                options:(NSDictionary*)options
                request:(id)request
                  error:(NSError**)error;
/// [called] B28@0:8I16^@20. Without it the engine's program slots leak.
- (BOOL)unloadWithQoS:(std::uint32_t)qos error:(NSError**)error;
/// [dump] The compiled form is in the framework's cache, which is keyed by the identifier.
- (BOOL)compiledModelExists;
/// [called] After load: symbol order, strides (model_attributes.h).
- (NSDictionary*)modelAttributes;
/// [dump] Which counters a request's perfStats object receives.
- (void)setPerfStatsMask:(std::uint32_t)mask;
/// [dump] 127 on what was seen.
- (std::int8_t)queueDepth;
/// [one] Not zero: intermediates spilled out of the engine's memory.
- (std::uint64_t)intermediateBufferHandle;
@end

/// _ANEIOSurfaceObject
@protocol AneSurfaceObject <NSObject>
/// [called]
+ (id<AneSurfaceObject>)objectWithIOSurface:(IOSurfaceRef)surface;
@end

/// _ANERequest
@protocol AneRequestObject <NSObject>
/// [called] Arrays of surface objects and NSNumbers. nil when refused.
+ (id<AneRequestObject>)requestWithInputs:(NSArray*)inputs
                             inputIndices:(NSArray*)input_indices
                                  outputs:(NSArray*)outputs
                            outputIndices:(NSArray*)output_indices
                            weightsBuffer:(id)weights_buffer
                                perfStats:(id)perf_stats
                           procedureIndex:(NSNumber*)procedure_index;
@end

/// _ANEPerformanceStats
@protocol AnePerformanceStats <NSObject>
/// [dump]
+ (id<AnePerformanceStats>)statsWithHardwareExecutionNS:(std::uint64_t)nanoseconds;
/// [dump] Nanoseconds of the last evaluate.
- (std::uint64_t)hwExecutionTime;
@end

/// _ANEDeviceInfo: class methods only. [dump]
@protocol AneDeviceInfo <NSObject>
+ (BOOL)hasANE;
+ (BOOL)isVirtualMachine;
+ (std::uint32_t)numANEs;
+ (std::uint32_t)numANECores;
+ (NSString*)aneArchitectureType;
+ (NSString*)aneSubType;
+ (std::int64_t)aneBoardType;
+ (NSString*)productName;
+ (NSString*)buildVersion;
@end
