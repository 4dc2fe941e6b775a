#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "pyane/base/dtype.h"
#include "pyane/base/shape.h"
#include "pyane/engine/profile.h"
#include "pyane/mil/weights.h"
#include "pyane/surface/surface.h"

// The contract that emulator/ and ane/ both implement. Nothing above it knows which one it has.

namespace pyane {

/// One input or output of a compiled function.
struct TensorSpec {
  std::string name;
  DType dtype = DType::kFp16;
  Shape shape;
  std::size_t n_bytes = 0;  ///< Packed size; surfaces may be larger.
};

/// What a request reads and writes, by Surface::memory_key; states are written.
struct Footprint {
  std::vector<std::uint64_t> reads;
  std::vector<std::uint64_t> writes;
  std::chrono::nanoseconds work{};  ///< About how long it takes one thread.
};

/// One binding of surfaces to a kernel. Evaluating is thread-safe between requests, not within one:
/// a second evaluate of a request that is running waits for the first.
class Request {
 public:
  virtual ~Request() = default;
  /// Runs the kernel once. @throws EvaluateError
  virtual void evaluate() = 0;
  /// Runs the kernel once, and tells where the time went; nullopt, and nothing is run, on devices
  /// that cannot. @throws EvaluateError
  virtual std::optional<Profile> profile() { return std::nullopt; }
  /// The device's own time for the last evaluate, in nanoseconds, where it was asked for and told.
  virtual std::optional<std::uint64_t> device_time_ns() const { return std::nullopt; }
  /// Memory of the states, one surface per state and in their order.
  virtual std::vector<std::shared_ptr<Surface>> states() const { return {}; }
  /// The memory of a request that leaves most of the machine idle, so that it is worth evaluating
  /// others beside it; nullptr: it is not, or has the device to itself.
  virtual const Footprint* footprint() const { return nullptr; }
};

/// A compiled, loaded function of a model on a device. Inputs and outputs are in alphabetical order
/// of their names, as the engine orders them (docs/ane.md, CONSTRAINTS 40).
class Kernel {
 public:
  virtual ~Kernel() = default;
  virtual const std::vector<TensorSpec>& inputs() const = 0;
  virtual const std::vector<TensorSpec>& outputs() const = 0;
  /// Memory that evaluations leave behind for later ones, in alphabetical order.
  virtual std::vector<TensorSpec> states() const { return {}; }
  /// Allocation that every surface of a request should have: the engine wants one size for all of
  /// them (CONSTRAINTS 38, 39).
  virtual std::size_t surface_bytes() const = 0;
  /// Binds surfaces, one per input and output, in their order. The request keeps kernel and
  /// surfaces alive.
  /// @param states  One surface per state, which requests of any kernels may share; none: the
  ///     request gets its own, zero-filled.
  /// @throws ShapeError  wrong number of surfaces, or one too small; names tensor and both sizes.
  virtual std::shared_ptr<Request> bind(std::vector<std::shared_ptr<Surface>> inputs,
                                        std::vector<std::shared_ptr<Surface>> outputs,
                                        std::vector<std::shared_ptr<Surface>> states) = 0;
  std::shared_ptr<Request> bind(std::vector<std::shared_ptr<Surface>> inputs,
                                std::vector<std::shared_ptr<Surface>> outputs) {
    return bind(std::move(inputs), std::move(outputs), {});
  }
  /// Frees what the device holds. Later binds and evaluates throw EvaluateError. Idempotent.
  virtual void unload() = 0;
  virtual bool is_loaded() const = 0;
  virtual const std::string& device_name() const = 0;  ///< "emulator", "ane"
  /// What the device tells of the compiled kernel, for people and reports: key, value.
  virtual std::vector<std::pair<std::string, std::string>> details() const { return {}; }
};

struct CompileOptions {
  std::string function;   ///< Function of the program; empty: the only one, or "main".
  mil::WarningSink warn;  ///< Told of wrong fields in weight files that could be done without.
};

/// What this process has asked of a device, against what the device bears.
struct Budget {
  std::int64_t compiles = 0;       ///< Compilations so far.
  std::int64_t compile_limit = 0;  ///< Beyond it, compiling throws CompileBudgetError.
  std::int64_t loaded = 0;         ///< Programs loaded now.
  std::int64_t load_limit = 0;     ///< Beyond it, compiling throws CompileBudgetError.
};

class Device {
 public:
  virtual ~Device() = default;
  virtual const std::string& name() const = 0;  ///< "emulator", "ane"
  /// nullopt: the device compiles as much as it is asked to.
  /// @throws Error  when a limit in the environment is no positive number.
  virtual std::optional<Budget> budget() const { return std::nullopt; }
  /// @throws MilSyntaxError, MilVerifyError, UnsupportedOpError, BlobError, CompileError
  virtual std::shared_ptr<Kernel> compile(const mil::Model& model,
                                          const CompileOptions& options) = 0;
};

}  // namespace pyane
