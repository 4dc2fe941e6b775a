#pragma once

#include <cstddef>
#include <cstdint>

#include "pyane/linalg/gemm.h"
#include "pyane/linalg/gemm_kernel.h"
#include "pyane/linalg/gemm_side.h"

// How a batch of products is evaluated: gemm_plan.cpp decides, gemm.cpp does it.
//
// c is cut into blocks, one task each. A task walks along k in steps that keep its panels in the
// nearest caches and adds up in an fp32 block of its own; the last step rounds into c. Panels (mr
// rows of a, nr columns of b, as fp32, k outermost) come from one of three places:
//
//   packed once    a constant operand, in pack_a / pack_b; one of fp16 stays fp16 in the order of
//                  its panels, and is converted where it is needed: a product of few columns waits
//                  for its weights to come from memory
//   shared         needed by several tasks: packed before them, in parallel, into the scratch
//   own            needed by one task only (or too large to share): packed by it, where it needs it
//
// Each element is one sequential sum over k whatever the blocks are, so they can be chosen freely.

namespace pyane::linalg {

struct Gemm::Plan {
  using Index = std::int64_t;

  GemmSpec spec;
  bool is_swapped = false;  ///< Runs as c^T = b^T @ a^T.
  const GemmKernel* kernel = nullptr;
  GemmSide a;
  GemmSide b;
  Index c_row_stride = 0;  ///< As it runs.
  Index c_col_stride = 0;
  bool bias_is_per_row = false;
  Index k_step = 1;
  Index n_k_steps = 1;
  Index own_a_floats = 0;
  Index own_b_floats = 0;
  Index sums_floats = 0;
  std::size_t scratch_bytes = 0;

  explicit Plan(GemmSpec wanted);
  bool shares(const GemmSide& side, Index other_blocks) const;
  void cut();
  void place();
  void run(const void* a_data, const void* b_data, const void* bias, void* c,
           std::byte* scratch) const;
  void run_task(std::size_t task, const void* a_data, const void* b_data, const void* bias, void* c,
                const std::byte* scratch) const;
};

}  // namespace pyane::linalg
