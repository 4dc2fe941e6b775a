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
  bool hold = false;  ///< Not copied: the caller leaves the memory alone until the job is over.
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

/// Weight gradients (linalg/product.h) on worker threads, while the device evaluates the next
/// kernel. Without workers they are computed in wait(), on the thread pool: beside a device that
/// computes on the same CPU nothing is gained by doing so earlier, but all of them together are
/// shared out evenly, and threads wait for each other once instead of after every product.
///
/// Factors without `hold` are copied bit by bit during submit(), because a surface is overwritten
/// by the next evaluation; the workers convert fp16. (Converting already during submit() was
/// measured to cost the submitting thread two to three times the copy, and holds twice the memory.)
/// Copies go to buffers that are used again; submit() works off jobs while more than
/// Limits::held_bytes would be in use besides its own.
///
/// Jobs on overlapping dw are added in the order of submission, so that the sums are the same bits
/// whatever the timing and the number of workers. Errors, processes, exit: see OrderedTaskQueue.
class WeightGradientQueue {
 public:
  using Limits = OrderedTaskQueue::Limits;

  explicit WeightGradientQueue(int n_workers = 1, Limits limits = Limits());
  ~WeightGradientQueue();
  WeightGradientQueue(const WeightGradientQueue&) = delete;
  WeightGradientQueue& operator=(const WeightGradientQueue&) = delete;

  /// @return  The job's number, see oldest_pending().
  /// @throws ShapeError  if sizes do not fit together or a dtype is not said above.
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
  std::unique_ptr<BufferPool> buffers_;
  OrderedTaskQueue tasks_;  // last: what its tasks hold goes back to buffers_
};

}  // namespace pyane
