#include "fake_classes.h"
#include "fake_state.h"

using fake_ane::state;

NSError* fake_ane_error(NSString* domain, NSInteger code, NSString* text,
                        const std::string& underlying) {
  if (state().hides_errors) return nil;
  NSMutableDictionary* info = [NSMutableDictionary dictionary];
  [info setObject:text forKey:NSLocalizedDescriptionKey];
  if (!underlying.empty()) {
    NSString* why = [NSString stringWithUTF8String:underlying.c_str()];
    NSError* cause = [NSError errorWithDomain:@"pyane.stand-in"
                                         code:0
                                     userInfo:@{NSLocalizedDescriptionKey : why}];
    [info setObject:cause forKey:NSUnderlyingErrorKey];
  }
  return [NSError errorWithDomain:domain code:code userInfo:info];
}

namespace {

// FNV-1a; what matters is that equal models, and only they, are equal.
struct Hash {
  unsigned long long value;
  void add(NSData* data) {
    const auto* bytes = static_cast<const unsigned char*>([data bytes]);
    const NSUInteger length = [data length];
    for (NSUInteger i = 0; i < length; ++i) value = (value ^ bytes[i]) * 1099511628211ULL;
    value = (value ^ length) * 1099511628211ULL;
  }
};

void check_weights(NSDictionary* weights) {
  NSEnumerator* keys = [weights keyEnumerator];
  while (NSString* key = [keys nextObject]) {
    NSDictionary* entry = [weights objectForKey:key];
    const bool is_entry = [key isKindOfClass:[NSString class]] &&
                          [entry isKindOfClass:[NSDictionary class]] &&
                          [[entry objectForKey:@"offset"] isKindOfClass:[NSNumber class]] &&
                          [[entry objectForKey:@"data"] isKindOfClass:[NSData class]];
    if (!is_entry) {
      [NSException raise:NSInvalidArgumentException
                  format:@"weights: %@ must be {offset: NSNumber, data: NSData}", key];
    }
  }
}

}  // namespace

@implementation _ANEInMemoryModelDescriptor

+ (id)modelWithMILText:(NSData*)text weights:(NSDictionary*)weights optionsPlist:(NSData*)options {
  static_cast<void>(options);
  if (![text isKindOfClass:[NSData class]]) {
    [NSException raise:NSInvalidArgumentException
                format:@"-[%@ bytes]: unrecognized selector", [text class]];
  }
  if (weights == nil || [text length] == 0 || state().descriptor_fault.due()) return nil;
  check_weights(weights);
  _ANEInMemoryModelDescriptor* made = [[self new] autorelease];
  made->text_ = [text copy];
  made->weights_ = [weights copy];
  return made;
}

- (id)init {
  self = [super init];
  state().live_objects += 1;
  return self;
}

- (void)dealloc {
  state().live_objects -= 1;
  [text_ release];
  [weights_ release];
  [super dealloc];
}

- (NSData*)text {
  return text_;
}
- (NSDictionary*)weights {
  return weights_;
}

- (NSString*)hexStringIdentifier {
  Hash text{14695981039346656037ULL};
  text.add(text_);
  Hash names{text.value};
  Hash data{14695981039346656037ULL};
  for (NSString* key in [[weights_ allKeys] sortedArrayUsingSelector:@selector(compare:)]) {
    names.add([key dataUsingEncoding:NSUTF8StringEncoding]);
    data.add([[weights_ objectForKey:key] objectForKey:@"data"]);
  }
  return
      [NSString stringWithFormat:@"%016llX_%016llX_%016llX", text.value, names.value, data.value];
}

@end
