#pragma once

#include <cstdio>
#include <cstdlib>

// Minimal checks for the C++ tests, which exist to run lifetimes, threads and parsers under the
// sanitizers; what can be tested from Python is tested there.

#define CHECK(condition)                                                                 \
  do {                                                                                   \
    if (!(condition)) {                                                                  \
      std::fprintf(stderr, "%s:%d: CHECK failed: %s\n", __FILE__, __LINE__, #condition); \
      std::exit(1);                                                                      \
    }                                                                                    \
  } while (false)

/// Runs `statement` and checks that it throws `exception`; returns its what().
#define CHECK_THROWS(exception, statement)                                                 \
  do {                                                                                     \
    bool caught_ = false;                                                                  \
    try {                                                                                  \
      statement;                                                                           \
    } catch (const exception&) {                                                           \
      caught_ = true;                                                                      \
    }                                                                                      \
    if (!caught_) {                                                                        \
      std::fprintf(stderr, "%s:%d: expected %s from %s\n", __FILE__, __LINE__, #exception, \
                   #statement);                                                            \
      std::exit(1);                                                                        \
    }                                                                                      \
  } while (false)
