#pragma once

#include "pyane/base/interrupt.h"

/// While in scope, Ctrl-C (or whatever else Python's signal handlers raise) ends the work of this
/// thread with that exception. For work without the GIL; does nothing but on the main thread, the
/// only one that runs handlers.
class Interruptible {
 public:
  /// @throws Error  in a handler that has been called in the middle of such work: what that keeps
  /// per thread (scratch memory, a list's graph, a request's lock) is in use.
  Interruptible();

 private:
  pyane::InterruptScope scope_;
};

/// Remembers which thread is the main one. Needs the GIL.
void find_main_thread();
