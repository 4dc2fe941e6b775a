#include "pyane/train/weight_gradient_queue.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "pyane/base/error.h"
#include "pyane/base/half.h"
#include "pyane/base/thread_pool.h"
#include "pyane/linalg/gemm.h"
#include "pyane/train/activations.h"

namespace pyane {
namespace {

/// Rows of dw that one product adds up: enough to hide that each packs x again.
constexpr std::size_t kRowBlock = 256;

/// Rows of a factor that one task copies, in elements or more.
constexpr std::size_t kCopyElements = 32768;

std::int64_t to_signed(std::size_t n) { return static_cast<std::int64_t>(n); }

[[noreturn]] void fail(const std::string& message) {
  throw ShapeError("WeightGradientQueue: " + message);
}

/// Product of sizes, each at least 1 or the result 0.
std::size_t multiply(std::size_t a, std::size_t b) {
  constexpr std::size_t kLimit = std::numeric_limits<std::size_t>::max() / sizeof(double);
  if (b != 0 && a > kLimit / b) fail("sizes do not fit in memory");
  return a * b;
}

/// [B, R, S] or [B, S, R] as fp32 in memory of its own or the caller's.
struct Factor {
  const float* data;
  std::size_t batch_stride;
  std::size_t row_stride;
  bool positions_first;
};

void check_factor(const char* name, const WeightGradientFactor& factor, std::size_t n_channels,
                  const WeightGradient& job) {
  if (factor.dtype != DType::kFp32 && factor.dtype != DType::kFp16) {
    fail(std::string(name) + " must be fp32 or fp16, got " + std::string(dtype_name(factor.dtype)));
  }
  if (factor.hold && factor.dtype != DType::kFp32) {
    fail(std::string(name) + " can only be held in fp32, got " +
         std::string(dtype_name(factor.dtype)));
  }
  const std::size_t row = factor.positions_first ? n_channels : job.positions;
  if (factor.row_stride < row) {
    fail(std::string(name) + ": row_stride must be at least " + std::to_string(row) + ", got " +
         std::to_string(factor.row_stride));
  }
}

}  // namespace

/// fp32 buffers between uses.
class WeightGradientQueue::BufferPool {
 public:
  struct Buffer {
    std::unique_ptr<float[]> data;
    std::size_t size = 0;
  };

  explicit BufferPool(std::size_t max_bytes) : max_bytes_(max_bytes) {}

  /// The smallest that fits and is not mostly waste, or a new one.
  Buffer take(std::size_t n) {
    {
      const std::lock_guard lock(mutex_);
      auto best = idle_.end();
      for (auto it = idle_.begin(); it != idle_.end(); ++it) {
        if (it->size < n || it->size / 2 > n) continue;
        if (best == idle_.end() || it->size < best->size) best = it;
      }
      if (best != idle_.end()) {
        Buffer buffer = std::move(*best);
        *best = std::move(idle_.back());
        idle_.pop_back();
        idle_bytes_ -= buffer.size * sizeof(float);
        return buffer;
      }
    }
    return {.data = std::make_unique_for_overwrite<float[]>(n), .size = n};
  }

  void give_back(Buffer buffer) {
    const std::lock_guard lock(mutex_);
    const std::size_t bytes = buffer.size * sizeof(float);
    if (idle_bytes_ + bytes > max_bytes_) return;
    idle_.push_back(std::move(buffer));
    idle_bytes_ += bytes;
  }

 private:
  const std::size_t max_bytes_;
  std::mutex mutex_;
  std::vector<Buffer> idle_;
  std::size_t idle_bytes_ = 0;
};

namespace {

/// Copies rows of `row` contiguous elements, `n_rows` per sequence, next to one another.
void copy_as_float(float* target, const WeightGradientFactor& source, std::size_t batch,
                   std::size_t n_rows, std::size_t row) {
  const std::size_t rows_per_task = std::max<std::size_t>(1, kCopyElements / row);
  const std::size_t tasks_per_sequence = (n_rows + rows_per_task - 1) / rows_per_task;
  parallel_for(batch * tasks_per_sequence, [&](std::size_t task) {
    const std::size_t b = task / tasks_per_sequence;
    const std::size_t begin = task % tasks_per_sequence * rows_per_task;
    std::size_t n = std::min(rows_per_task, n_rows - begin);
    std::size_t length = row;
    if (source.row_stride == row) {  // one piece
      length = n * row;
      n = 1;
    }
    for (std::size_t i = 0; i < n; ++i) {
      const std::size_t from = b * source.batch_stride + (begin + i) * source.row_stride;
      float* to = target + (b * n_rows + begin + i) * row;
      if (source.dtype == DType::kFp16) {
        half_to_float(static_cast<const half_bits*>(source.data) + from, to, length);
      } else {
        std::memcpy(to, static_cast<const float*>(source.data) + from, length * sizeof(float));
      }
    }
  });
}

}  // namespace
/// One job with what it owns. Gives its buffers back when the last reference goes.
class WeightGradientQueue::Job {
 public:
  Job(const WeightGradient& job, std::shared_ptr<BufferPool> pool)
      : job_(job), pool_(std::move(pool)) {
    dy_ = prepare(job.dy, job.rows);
    x_ = prepare(job.x, job.columns);
  }
  ~Job() {
    for (BufferPool::Buffer& buffer : buffers_) pool_->give_back(std::move(buffer));
  }
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  std::size_t n_parts() const { return (job_.rows + kRowBlock - 1) / kRowBlock; }

  std::size_t held_bytes() const {
    std::size_t n = 0;
    for (const BufferPool::Buffer& buffer : buffers_) n += buffer.size;
    return n * sizeof(float);
  }

  /// Rows [part * kRowBlock, ...) of dw.
  void run(std::size_t part) const {
    using linalg::Transpose;
    const std::size_t first = part * kRowBlock;
    const std::size_t n = std::min(kRowBlock, job_.rows - first);
    for (std::size_t b = 0; b < job_.batch; ++b) {
      const std::size_t skip = dy_.positions_first ? first : first * dy_.row_stride;
      linalg::sgemm(dy_.positions_first ? Transpose::kYes : Transpose::kNo,
                    x_.positions_first ? Transpose::kNo : Transpose::kYes, to_signed(n),
                    to_signed(job_.columns), to_signed(job_.positions), job_.scale,
                    dy_.data + b * dy_.batch_stride + skip, to_signed(dy_.row_stride),
                    x_.data + b * x_.batch_stride, to_signed(x_.row_stride), 1.0F,
                    job_.dw.data() + first * job_.columns, to_signed(job_.columns));
    }
  }

 private:
  Factor prepare(const WeightGradientFactor& factor, std::size_t n_channels) {
    if (factor.hold) {
      return {.data = static_cast<const float*>(factor.data),
              .batch_stride = factor.batch_stride,
              .row_stride = factor.row_stride,
              .positions_first = factor.positions_first};
    }
    const std::size_t n_rows = factor.positions_first ? job_.positions : n_channels;
    const std::size_t row = factor.positions_first ? n_channels : job_.positions;
    buffers_.push_back(pool_->take(job_.batch * n_rows * row));
    float* data = buffers_.back().data.get();
    copy_as_float(data, factor, job_.batch, n_rows, row);
    return {.data = data,
            .batch_stride = n_rows * row,
            .row_stride = row,
            .positions_first = factor.positions_first};
  }

  WeightGradient job_;
  std::shared_ptr<BufferPool> pool_;
  std::vector<BufferPool::Buffer> buffers_;
  Factor dy_;
  Factor x_;
};

WeightGradientQueue::WeightGradientQueue(int n_workers, Limits limits)
    : buffers_(std::make_shared<BufferPool>(limits.held_bytes)), tasks_(n_workers, limits) {}

WeightGradientQueue::~WeightGradientQueue() = default;

std::uint64_t WeightGradientQueue::submit(const WeightGradient& job) {
  const std::size_t dw_size = multiply(job.rows, job.columns);
  if (job.dw.size() != dw_size) {
    fail("dw must have " + std::to_string(job.rows) + " * " + std::to_string(job.columns) +
         " elements [M, K], got " + std::to_string(job.dw.size()));
  }
  check_factor("dy", job.dy, job.rows, job);
  check_factor("x", job.x, job.columns, job);
  const std::size_t n_positions = multiply(job.batch, job.positions);
  static_cast<void>(multiply(n_positions, std::max(job.rows, job.columns)));
  if (dw_size == 0 || n_positions == 0) return tasks_.submit({.n_parts = 0});
  const auto shared = std::make_shared<const Job>(job, buffers_);
  return tasks_.submit({.target = job.dw.data(),
                        .target_bytes = job.dw.size_bytes(),
                        .n_parts = shared->n_parts(),
                        .run = [shared](std::size_t part) { shared->run(part); },
                        .held_bytes = shared->held_bytes()});
}

void WeightGradientQueue::wait() { tasks_.wait(); }

void WeightGradientQueue::cancel() { tasks_.cancel(); }

std::uint64_t WeightGradientQueue::oldest_pending() const { return tasks_.oldest_pending(); }

int WeightGradientQueue::n_workers() const { return tasks_.n_workers(); }

}  // namespace pyane
