#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "pyane/base/dtype.h"
#include "pyane/train/ordered_task_queue.h"

namespace pyane {

/// One factor of a weight gradient where it lies: [B, R, S] with strides, R = M for dy and K for x.
struct WeightGradientFactor {
  const void* data = nullptr;
  DType dtype = DType::kFp32;    ///< kFp32 or kFp16
  std::size_t batch_stride = 0;  ///< Elements from one sequence to the next.
  /// Elements from one row to the next, of S contiguous positions; the slice of a surface whose
  /// spatial axis holds several tensors has more than S.
  std::size_t row_stride = 0;
  /// [B, S, R] instead: rows are positions of R contiguous channels, as logits have them.
  bool positions_first = false;
  /// fp32 only: no copy is made, and the caller leaves the memory alone until the job is over.
  bool hold = false;
};

/// dw[m,k] += scale * sum_{b,s} dy[b,m,s] * x[b,k,s]
struct WeightGradient {
  std::span<float> dw;        ///< [M, K], used until the job is over.
  std::size_t rows = 0;       ///< M
  std::size_t columns = 0;    ///< K
  std::size_t batch = 1;      ///< B
  std::size_t positions = 0;  ///< S
  WeightGradientFactor dy;
  WeightGradientFactor x;
  float scale = 1.0F;
};

/// Weight gradients by sgemm on worker threads, while the device evaluates the next kernel.
///
/// Factors in fp16, and those without `hold`, are copied as fp32 during submit(), because a surface
/// is overwritten by the next evaluation. (Converting costs the submitting thread as much as
/// copying the fp16 bits, and the workers then run nothing but products.) The copies go to buffers
/// that are used again; submit() works off jobs while more than Limits::held_bytes would be in use
/// besides its own.
///
/// Jobs on overlapping dw are added in the order of submission, each in blocks of rows by shape, so
/// that the sums are the same bits whatever the timing and the number of workers (as far as sgemm
/// is: on Accelerate this is Apple's word). Errors, processes, exit: see OrderedTaskQueue.
class WeightGradientQueue {
 public:
  using Limits = OrderedTaskQueue::Limits;

  explicit WeightGradientQueue(int n_workers = 1, Limits limits = Limits());
  ~WeightGradientQueue();
  WeightGradientQueue(const WeightGradientQueue&) = delete;
  WeightGradientQueue& operator=(const WeightGradientQueue&) = delete;

  /// @return  The job's number, see oldest_pending().
  /// @throws ShapeError  if sizes do not fit together, or `hold` is asked for fp16.
  std::uint64_t submit(const WeightGradient& job);

  /// Every dw is complete afterwards. The calling thread and the thread pool help.
  void wait();

  /// Drops jobs that have not begun and any kept error. Every dw is then in an unknown state.
  void cancel();

  /// Jobs with smaller numbers no longer use any memory of the caller.
  std::uint64_t oldest_pending() const;

  int n_workers() const;

 private:
  class BufferPool;
  class Job;
  std::shared_ptr<BufferPool> buffers_;
  OrderedTaskQueue tasks_;
};

}  // namespace pyane
