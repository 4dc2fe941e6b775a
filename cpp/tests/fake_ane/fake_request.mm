#include <algorithm>
#include <vector>

#include "fake_classes.h"
#include "fake_state.h"

using fake_ane::state;

@implementation _ANEIOSurfaceObject

+ (id)objectWithIOSurface:(IOSurfaceRef)surface {
  if (surface == nullptr) return nil;
  _ANEIOSurfaceObject* made = [[self new] autorelease];
  CFRetain(surface);
  made->surface_ = surface;
  return made;
}

- (id)init {
  self = [super init];
  state().live_objects += 1;
  return self;
}

- (void)dealloc {
  state().live_objects -= 1;
  if (surface_ != nullptr) CFRelease(surface_);
  [super dealloc];
}

- (IOSurfaceRef)ioSurface {
  return surface_;
}

@end

@implementation _ANEPerformanceStats

+ (id)statsWithHardwareExecutionNS:(std::uint64_t)nanoseconds {
  _ANEPerformanceStats* made = [[self new] autorelease];
  made->nanoseconds_ = nanoseconds;
  return made;
}

- (id)init {
  self = [super init];
  state().live_objects += 1;
  return self;
}

- (void)dealloc {
  state().live_objects -= 1;
  [super dealloc];
}

- (std::uint64_t)hwExecutionTime {
  return nanoseconds_;
}
- (void)setHwExecutionTime:(std::uint64_t)nanoseconds {
  nanoseconds_ = nanoseconds;
}

@end

namespace {

bool are_all_of(NSArray* array, Class cls) {
  for (id object in array) {
    if (![object isKindOfClass:cls]) return false;
  }
  return true;
}

// Surfaces by index; empty when the indices are not 0 ... n-1, each once.
std::vector<void*> by_index(NSArray* objects, NSArray* indices) {
  std::vector<void*> surfaces([objects count], nullptr);
  for (NSUInteger i = 0; i < [objects count]; ++i) {
    const NSUInteger index = [[indices objectAtIndex:i] unsignedIntegerValue];
    if (index >= surfaces.size() || surfaces[index] != nullptr) return {};
    surfaces[index] = [[objects objectAtIndex:i] ioSurface];
  }
  return surfaces;
}

NSString* misfit(const std::vector<void*>& surfaces, const std::vector<pyane::TensorSpec>& specs,
                 NSString* kind) {
  if (surfaces.size() != specs.size()) {
    return [NSString stringWithFormat:@"%zu %@ surfaces for a program with %zu", surfaces.size(),
                                      kind, specs.size()];
  }
  for (std::size_t i = 0; i < specs.size(); ++i) {
    const std::size_t n_bytes = IOSurfaceGetAllocSize(static_cast<IOSurfaceRef>(surfaces[i]));
    if (n_bytes < std::max(specs[i].n_bytes, pyane::kMinSurfaceBytes)) {
      return [NSString stringWithFormat:@"%@ '%s' has a surface of %zu bytes", kind,
                                        specs[i].name.c_str(), n_bytes];
    }
  }
  return nil;
}

}  // namespace

@implementation _ANERequest

+ (id)requestWithInputs:(NSArray*)inputs
           inputIndices:(NSArray*)input_indices
                outputs:(NSArray*)outputs
          outputIndices:(NSArray*)output_indices
          weightsBuffer:(id)weights_buffer
              perfStats:(id)perf_stats
         procedureIndex:(NSNumber*)procedure_index {
  static_cast<void>(weights_buffer);  // does not override baked weights (constraint 49)
  const bool is_sound =
      [inputs count] == [input_indices count] && [outputs count] == [output_indices count] &&
      [outputs count] > 0 && are_all_of(inputs, [_ANEIOSurfaceObject class]) &&
      are_all_of(outputs, [_ANEIOSurfaceObject class]) &&
      are_all_of(input_indices, [NSNumber class]) && are_all_of(output_indices, [NSNumber class]) &&
      (perf_stats == nil || [perf_stats isKindOfClass:[_ANEPerformanceStats class]]) &&
      [procedure_index isKindOfClass:[NSNumber class]] && [procedure_index intValue] == 0;
  if (!is_sound || state().request_fault.due()) return nil;
  _ANERequest* made = [[self new] autorelease];
  made->inputs_ = [inputs copy];
  made->input_indices_ = [input_indices copy];
  made->outputs_ = [outputs copy];
  made->output_indices_ = [output_indices copy];
  made->stats_ = [perf_stats retain];
  return made;
}

- (id)init {
  self = [super init];
  state().live_objects += 1;
  is_running_ = new std::atomic<bool>(false);
  return self;
}

- (void)dealloc {
  state().live_objects -= 1;
  delete binding_;
  delete is_running_;
  [inputs_ release];
  [input_indices_ release];
  [outputs_ release];
  [output_indices_ release];
  [stats_ release];
  [super dealloc];
}

- (_ANEPerformanceStats*)stats {
  return stats_;
}

- (NSString*)refusalForProgram:(const std::shared_ptr<fake_ane::Program>&)program {
  const std::vector<void*> inputs = by_index(inputs_, input_indices_);
  const std::vector<void*> outputs = by_index(outputs_, output_indices_);
  NSString* refusal = misfit(inputs, program->inputs(), @"input");
  if (refusal == nil) refusal = misfit(outputs, program->outputs(), @"output");
  if (refusal != nil) return refusal;
  const std::size_t first = IOSurfaceGetAllocSize(static_cast<IOSurfaceRef>(outputs.front()));
  for (const auto* surfaces : {&inputs, &outputs}) {
    for (void* surface : *surfaces) {
      if (IOSurfaceGetAllocSize(static_cast<IOSurfaceRef>(surface)) != first) {
        return @"surfaces of one request differ in allocation size";
      }
    }
  }
  return nil;
}

- (BOOL)evaluateProgram:(const std::shared_ptr<fake_ane::Program>&)program
                 reason:(std::string*)reason {
  if (is_running_->exchange(true)) {
    state().overlaps += 1;
    *reason = "this request is being evaluated already";
    return NO;
  }
  if (binding_ == nullptr || binding_->program() != program.get()) {
    delete binding_;
    binding_ = fake_ane::Binding::make(program, by_index(inputs_, input_indices_),
                                       by_index(outputs_, output_indices_), reason)
                   .release();
  }
  const bool is_done = binding_ != nullptr && binding_->evaluate(reason);
  *is_running_ = false;
  return is_done;
}

@end
