#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>

// Every failure pyane reports on purpose. One translator (cpp/bindings/module.cpp) turns these into
// the Python classes of the same names in src/pyane/errors.py.
//
// Texts follow one pattern: `where: argument must rule, got value`, ending with a way out if any.

namespace pyane {

/// Base of every failure this library reports on purpose.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// MIL text that does not follow the grammar. `line` and `column` count from 1; `what()` starts
/// with `file:line:column:` and ends with the offending line and a caret below it.
struct MilSyntaxError : Error {
  MilSyntaxError(const std::string& message, int line_, int column_)
      : Error(message), line(line_), column(column_) {}
  int line;
  int column;
};

/// A well-formed program that breaks a rule of MIL: names, single assignment, types, shapes.
struct MilVerifyError : Error {
  MilVerifyError(const std::string& message, std::string op_, int line_, int column_)
      : Error(message), op(std::move(op_)), line(line_), column(column_) {}
  std::string op;  ///< MIL operation, e.g. "conv"; empty when the fault is not in one.
  int line;
  int column;
};

/// Valid MIL that pyane does not execute.
struct UnsupportedOpError : Error {
  UnsupportedOpError(const std::string& message, std::string op_, int line_, int column_)
      : Error(message), op(std::move(op_)), line(line_), column(column_) {}
  std::string op;
  int line;
  int column;
};

/// An argument whose shape, dtype or range does not fit.
struct ShapeError : Error {
  using Error::Error;
};

/// A weight (BLOBFILE) file that is truncated, lies about its contents, or is missing.
struct BlobError : Error {
  using Error::Error;
};

/// A setting that does not exist, or does not fit the others.
struct ConfigError : Error {
  using Error::Error;
};

/// A model file that cannot be loaded: of another kind, or broken.
struct ModelError : Error {
  using Error::Error;
};

/// The device refused to compile or load a program.
struct CompileError : Error {
  using Error::Error;
};

/// The process has spent its budget of compilations or loaded programs on the engine.
struct CompileBudgetError : CompileError {
  using CompileError::CompileError;
};

/// The device accepted a program but failed to evaluate a request. `status` is the engine's code
/// (0x1d, ...), 0 when it gave none.
struct EvaluateError : Error {
  EvaluateError(const std::string& message, std::int64_t status_)
      : Error(message), status(status_) {}
  std::int64_t status;
};

/// Asked for an Apple Neural Engine on a machine, or in a process, that cannot reach one.
struct AneUnavailableError : Error {
  using Error::Error;
};

/// The engine's framework reported a failure. `stage` is "descriptor", "compile", "load", ...
struct AneError : Error {
  AneError(const std::string& message, std::string stage_, std::string domain_, std::int64_t code_)
      : Error(message), stage(std::move(stage_)), domain(std::move(domain_)), code(code_) {}
  std::string stage;
  std::string domain;
  std::int64_t code;
};

}  // namespace pyane
