#include <chrono>
#include <vector>

#include "fake_classes.h"
#include "fake_state.h"

using fake_ane::state;

namespace {

NSString* const kDomain = @"com.apple.appleneuralengine";
NSString* const kCompilerDomain = @"com.apple.appleneuralengine.compiler";
constexpr NSInteger kCompileFailed = 1;
constexpr NSInteger kLoadFailed = 4;
constexpr NSInteger kProcessRequestFailed = 8;

// The text that people have met; status 0x1d is the only one whose meaning is known to any degree.
NSString* const kInferenceError =
    @"processRequest:model:qos:qIndex:modelStringID:options:returnValue:error:: "
    @"ANEProgramProcessRequestDirect() Failed with status=0x1d : statusType=0x9: Program Inference "
    @"error";

BOOL fail(NSError** error, NSString* domain, NSInteger code, NSString* text,
          const std::string& underlying) {
  if (error != nullptr) *error = fake_ane_error(domain, code, text, underlying);
  return NO;
}

void check_options(id options) {
  if (![options isKindOfClass:[NSDictionary class]]) {
    [NSException raise:NSInvalidArgumentException format:@"options must be a dictionary"];
  }
}

}  // namespace

@implementation _ANEInMemoryModel

+ (id)inMemoryModelWithDescriptor:(_ANEInMemoryModelDescriptor*)descriptor {
  if (![descriptor isKindOfClass:[_ANEInMemoryModelDescriptor class]]) return nil;
  _ANEInMemoryModel* made = [[self new] autorelease];
  made->descriptor_ = [descriptor retain];
  return made;
}

- (id)init {
  self = [super init];
  state().live_objects += 1;
  compiled_ = new std::shared_ptr<fake_ane::Program>;
  return self;
}

- (void)dealloc {
  state().live_objects -= 1;
  // A model that is dropped without unloading keeps its slot, as on the engine: loaded_programs
  // stays up and a test sees it.
  delete compiled_;
  [descriptor_ release];
  [super dealloc];
}

- (NSString*)hexStringIdentifier {
  return [descriptor_ hexStringIdentifier];
}

- (NSString*)folder {
  return [NSTemporaryDirectory() stringByAppendingPathComponent:[self hexStringIdentifier]];
}

- (BOOL)compiledModelExists {
  return fake_ane::find_compiled([[self hexStringIdentifier] UTF8String]) != nullptr;
}

- (BOOL)compileWithQoS:(std::uint32_t)qos options:(NSDictionary*)options error:(NSError**)error {
  check_options(options);
  state().last_qos = qos;
  fake_ane::delay(state().compile_delay_ms);
  if (++state().compiles > state().compile_limit) {
    return fail(error, kCompilerDomain, kCompileFailed, @"_ANECompiler : ANECCompile() FAILED",
                "the compile limit of this process");
  }
  if (state().compile_fault.due()) {
    return fail(error, kCompilerDomain, kCompileFailed, @"_ANECompiler : ANECCompile() FAILED",
                "asked to by the test");
  }
  std::vector<std::string> weights;
  for (NSString* path in [descriptor_ weights]) weights.push_back([path UTF8String]);
  const std::string text(static_cast<const char*>([[descriptor_ text] bytes]),
                         [[descriptor_ text] length]);
  std::string reason;
  *compiled_ = fake_ane::compile_folder([[self folder] UTF8String], text, weights, &reason);
  if (*compiled_ == nullptr) {
    return fail(error, kCompilerDomain, kCompileFailed,
                @"_ANECompiler : ANECCompile() FAILED: InvalidMILProgram", reason);
  }
  fake_ane::keep_compiled([[self hexStringIdentifier] UTF8String], *compiled_);
  return YES;
}

- (BOOL)loadWithQoS:(std::uint32_t)qos options:(NSDictionary*)options error:(NSError**)error {
  check_options(options);
  state().last_qos = qos;
  if (*compiled_ == nullptr) {
    *compiled_ = fake_ane::find_compiled([[self hexStringIdentifier] UTF8String]);
  }
  std::string reason;
  if (is_loaded_) reason = "loaded already";
  if (*compiled_ == nullptr) reason = "not compiled";
  if (![[NSFileManager defaultManager] fileExistsAtPath:[self folder]]) reason = "no folder";
  if (state().loaded_programs >= state().load_limit) reason = "no program slot left";
  if (state().load_fault.due()) reason = "asked to by the test";
  if (!reason.empty()) {
    return fail(error, kDomain, kLoadFailed, @"Program load failure (0x20004)", reason);
  }
  is_loaded_ = YES;
  stats_mask_ = 0;
  state().loads += 1;
  state().loaded_programs += 1;
  return YES;
}

- (BOOL)evaluateWithQoS:(std::uint32_t)qos
                options:(NSDictionary*)options
                request:(_ANERequest*)request
                  error:(NSError**)error {
  check_options(options);
  state().last_qos = qos;
  state().evaluate_calls += 1;
  fake_ane::delay(state().evaluate_delay_ms);
  if (state().evaluate_exception.due()) {
    [NSException raise:NSInternalInconsistencyException format:@"asked to by the test"];
  }
  std::string reason;
  if (state().evaluate_fault.due()) {
    reason = "asked to by the test";
  } else if (!is_loaded_) {
    reason = "not loaded";
  } else if (![request isKindOfClass:[_ANERequest class]]) {
    reason = "no request";
  } else if (NSString* refusal = [request refusalForProgram:*compiled_]) {
    reason = [refusal UTF8String];
  } else {
    const auto start = std::chrono::steady_clock::now();
    if ([request evaluateProgram:*compiled_ reason:&reason]) {
      const auto taken = std::chrono::steady_clock::now() - start;
      if ((stats_mask_ & 1U) != 0) {
        const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(taken).count();
        [[request stats] setHwExecutionTime:static_cast<std::uint64_t>(ns)];
      }
      state().evaluations += 1;
      return YES;
    }
  }
  return fail(error, kDomain, kProcessRequestFailed, kInferenceError, reason);
}

- (BOOL)unloadWithQoS:(std::uint32_t)qos error:(NSError**)error {
  state().last_qos = qos;
  if (!is_loaded_ || state().unload_fault.due()) {
    return fail(error, kDomain, kLoadFailed, @"Program unload failure",
                is_loaded_ ? "asked to by the test" : "not loaded");
  }
  is_loaded_ = NO;
  state().loaded_programs -= 1;
  return YES;
}

- (NSDictionary*)modelAttributes {
  return is_loaded_ ? fake_ane_attributes(**compiled_) : nil;
}
- (void)setPerfStatsMask:(std::uint32_t)mask {
  stats_mask_ = mask;
}
- (std::int8_t)queueDepth {
  return 127;
}
- (std::uint64_t)intermediateBufferHandle {
  return 0;
}

@end
