#pragma once

#import <Foundation/Foundation.h>
#import <IOSurface/IOSurface.h>

#include <atomic>
#include <memory>
#include <string>

#include "evaluator.h"

// The private classes as the stand-in implements them: the methods that docs/ane.md lists.

/// An NSError as the framework gives it, or nil when the test wants failures without one.
/// `underlying`, what really happened here, is attached as the cause.
NSError* fake_ane_error(NSString* domain, NSInteger code, NSString* text,
                        const std::string& underlying);

@interface _ANEInMemoryModelDescriptor : NSObject {
  NSData* text_;
  NSDictionary* weights_;
}
+ (id)modelWithMILText:(NSData*)text weights:(NSDictionary*)weights optionsPlist:(NSData*)options;
- (NSData*)text;
- (NSDictionary*)weights;
- (NSString*)hexStringIdentifier;
@end

@interface _ANEIOSurfaceObject : NSObject {
  IOSurfaceRef surface_;
}
+ (id)objectWithIOSurface:(IOSurfaceRef)surface;
- (IOSurfaceRef)ioSurface;
@end

@interface _ANEPerformanceStats : NSObject {
  std::uint64_t nanoseconds_;
}
+ (id)statsWithHardwareExecutionNS:(std::uint64_t)nanoseconds;
- (std::uint64_t)hwExecutionTime;
- (void)setHwExecutionTime:(std::uint64_t)nanoseconds;
@end

@interface _ANERequest : NSObject {
  NSArray* inputs_;
  NSArray* input_indices_;
  NSArray* outputs_;
  NSArray* output_indices_;
  _ANEPerformanceStats* stats_;
  fake_ane::Binding* binding_;
  std::atomic<bool>* is_running_;
}
+ (id)requestWithInputs:(NSArray*)inputs
           inputIndices:(NSArray*)input_indices
                outputs:(NSArray*)outputs
          outputIndices:(NSArray*)output_indices
          weightsBuffer:(id)weights_buffer
              perfStats:(id)perf_stats
         procedureIndex:(NSNumber*)procedure_index;
- (_ANEPerformanceStats*)stats;
/// Why the engine would refuse these surfaces for that program; nil when it would not.
- (NSString*)refusalForProgram:(const std::shared_ptr<fake_ane::Program>&)program;
- (BOOL)evaluateProgram:(const std::shared_ptr<fake_ane::Program>&)program
                 reason:(std::string*)reason;
@end

@interface _ANEInMemoryModel : NSObject {
  _ANEInMemoryModelDescriptor* descriptor_;
  std::shared_ptr<fake_ane::Program>* compiled_;
  BOOL is_loaded_;
  std::uint32_t stats_mask_;
}
+ (id)inMemoryModelWithDescriptor:(_ANEInMemoryModelDescriptor*)descriptor;
- (NSString*)hexStringIdentifier;
- (BOOL)compiledModelExists;
- (BOOL)compileWithQoS:(std::uint32_t)qos options:(NSDictionary*)options error:(NSError**)error;
- (BOOL)loadWithQoS:(std::uint32_t)qos options:(NSDictionary*)options error:(NSError**)error;
- (BOOL)evaluateWithQoS:(std::uint32_t)qos
                options:(NSDictionary*)options
                request:(_ANERequest*)request
                  error:(NSError**)error;
- (BOOL)unloadWithQoS:(std::uint32_t)qos error:(NSError**)error;
- (NSDictionary*)modelAttributes;
- (void)setPerfStatsMask:(std::uint32_t)mask;
- (std::int8_t)queueDepth;
- (std::uint64_t)intermediateBufferHandle;
@end

@interface _ANEDeviceInfo : NSObject
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

/// modelAttributes of a loaded program, as the test asked for them.
NSDictionary* fake_ane_attributes(const fake_ane::Program& program);
