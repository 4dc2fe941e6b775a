#include "pyane/train/weight_gradient_queue.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <limits>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "pyane/base/error.h"
#include "pyane/base/thread_pool.h"
#include "pyane/linalg/product.h"

namespace pyane {
namespace {

/// Bytes that one task of a copy moves, in whole rows.
constexpr std::size_t kCopyBytes = 131072;

/// Multiply-adds of one part of a job without workers, some milliseconds of one thread: short
/// beside all of a training step's, and long enough that packing a factor again does not show.
constexpr std::size_t kPartProducts = std::size_t{1} << 28;

/// Rows or columns of a part, at least.
constexpr std::size_t kPartLength = 256;

std::int64_t to_signed(std::size_t n) { return static_cast<std::int64_t>(n); }

[[noreturn]] void fail(const std::string& message) {
  throw ShapeError("WeightGradientQueue: " + message);
}

std::size_t multiply(std::size_t a, std::size_t b) {
  constexpr std::size_t kLimit = std::numeric_limits<std::size_t>::max() / sizeof(double);
  if (b != 0 && a > kLimit / b) fail("sizes do not fit in memory");
  return a * b;
}

/// The rows of a factor as they lie in memory: positions with positions_first, else channels.
struct Rows {
  std::size_t n;
  std::size_t length;
};

Rows rows_of(const WeightGradientFactor& factor, std::size_t channels, std::size_t positions) {
  return factor.positions_first ? Rows{.n = positions, .length = channels}
                                : Rows{.n = channels, .length = positions};
}

void check_factor(const char* name, const WeightGradientFactor& factor, std::size_t channels,
                  std::size_t positions) {
  if (factor.dtype != DType::kFp32 && factor.dtype != DType::kFp16) {
    fail(std::string(name) + " must be fp32 or fp16, got " + std::string(dtype_name(factor.dtype)));
  }
  const std::size_t row = rows_of(factor, channels, positions).length;
  if (factor.row_stride < row) {
    fail(std::string(name) + ": row_stride must be at least " + std::to_string(row) + ", got " +
         std::to_string(factor.row_stride));
  }
}

const std::byte* bytes_at(const WeightGradientFactor& factor, std::size_t element) {
  return static_cast<const std::byte*>(factor.data) + element * dtype_size(factor.dtype);
}

/// The factor of one sequence as a matrix [channels, positions], or turned over.
linalg::GemmOperand operand(const WeightGradientFactor& factor, std::size_t sequence,
                            bool turned_over) {
  linalg::GemmOperand matrix{.dtype = factor.dtype,
                             .row_stride = to_signed(factor.row_stride),
                             .col_stride = 1,
                             .offsets = {to_signed(sequence * factor.batch_stride)}};
  if (factor.positions_first != turned_over) std::swap(matrix.row_stride, matrix.col_stride);
  return matrix;
}

void copy_rows(const WeightGradientFactor& source, std::size_t batch, const Rows& rows,
               std::byte* target) {
  const std::size_t row_bytes = rows.length * dtype_size(source.dtype);
  const std::size_t rows_per_task = std::max<std::size_t>(1, kCopyBytes / row_bytes);
  const std::size_t tasks_per_sequence = (rows.n + rows_per_task - 1) / rows_per_task;
  const std::chrono::nanoseconds work(batch * rows.n * row_bytes / 16);
  parallel_for(batch * tasks_per_sequence, work, [&](std::size_t task) {
    const std::size_t b = task / tasks_per_sequence;
    const std::size_t begin = task % tasks_per_sequence * rows_per_task;
    const std::size_t n = std::min(rows_per_task, rows.n - begin);
    const std::size_t from = b * source.batch_stride + begin * source.row_stride;
    std::byte* to = target + (b * rows.n + begin) * row_bytes;
    if (source.row_stride == rows.length) {
      std::memcpy(to, bytes_at(source, from), n * row_bytes);
      return;
    }
    for (std::size_t i = 0; i < n; ++i) {
      std::memcpy(to + i * row_bytes, bytes_at(source, from + i * source.row_stride), row_bytes);
    }
  });
}

}  // namespace

/// Memory between uses: fresh pages of this size would cost as much as copying into them.
class WeightGradientQueue::BufferPool {
 public:
  /// Returns to the pool on destruction.
  class Buffer {
   public:
    Buffer(BufferPool* pool, std::unique_ptr<std::byte[]> data, std::size_t n_bytes)
        : pool_(pool), data_(std::move(data)), n_bytes_(n_bytes) {}
    Buffer(Buffer&&) noexcept = default;
    Buffer& operator=(Buffer&&) = delete;
    ~Buffer() {
      if (data_) pool_->give_back(std::move(data_), n_bytes_);
    }

    std::byte* data() const { return data_.get(); }

   private:
    BufferPool* pool_;
    std::unique_ptr<std::byte[]> data_;
    std::size_t n_bytes_;
  };

  explicit BufferPool(std::size_t max_idle_bytes) : max_idle_bytes_(max_idle_bytes) {}

  /// The smallest that fits and is not mostly waste, or a new one.
  Buffer take(std::size_t n_bytes) {
    {
      const std::lock_guard lock(mutex_);
      auto best = idle_.end();
      for (auto it = idle_.begin(); it != idle_.end(); ++it) {
        if (it->n_bytes < n_bytes || it->n_bytes / 2 > n_bytes) continue;
        if (best == idle_.end() || it->n_bytes < best->n_bytes) best = it;
      }
      if (best != idle_.end()) {
        std::swap(*best, idle_.back());
        Idle taken = std::move(idle_.back());
        idle_.pop_back();
        idle_bytes_ -= taken.n_bytes;
        return {this, std::move(taken.data), taken.n_bytes};
      }
    }
    return {this, std::make_unique_for_overwrite<std::byte[]>(n_bytes), n_bytes};
  }

 private:
  struct Idle {
    std::unique_ptr<std::byte[]> data;
    std::size_t n_bytes;
  };

  void give_back(std::unique_ptr<std::byte[]> data, std::size_t n_bytes) {
    const std::lock_guard lock(mutex_);
    if (idle_bytes_ + n_bytes > max_idle_bytes_) return;
    idle_.push_back({.data = std::move(data), .n_bytes = n_bytes});
    idle_bytes_ += n_bytes;
  }

  const std::size_t max_idle_bytes_;
  std::mutex mutex_;
  std::vector<Idle> idle_;
  std::size_t idle_bytes_ = 0;
};

/// One job with what it owns.
class WeightGradientQueue::Job {
 public:
  Job(const WeightGradient& job, BufferPool& pool)
      : job_(job),
        pool_(pool),
        dy_copy_(copy(job_.dy, job_.rows)),
        x_copy_(copy(job_.x, job_.columns)) {}

  std::size_t held_bytes() const { return held_bytes_; }

  std::size_t n_parts() const {
    const std::size_t products = job_.rows * job_.columns * job_.batch * job_.positions;
    const std::size_t most = std::max<std::size_t>(1, longer() / kPartLength);
    return std::min(most, products / kPartProducts + 1);
  }

  /// Part `part` of `n`: some of the rows or columns of dw, of whichever there are more, so that
  /// the other factor is packed as seldom as possible.
  void run(std::size_t part, std::size_t n) const {
    const std::size_t begin = part * longer() / n;
    const std::size_t length = (part + 1) * longer() / n - begin;
    const bool by_rows = job_.rows >= job_.columns;
    linalg::GemmSpec spec{.m = to_signed(by_rows ? length : job_.rows),
                          .n = to_signed(by_rows ? job_.columns : length),
                          .k = to_signed(job_.positions),
                          .scale = job_.scale,
                          .adds_to_c = true};
    spec.c = {.dtype = DType::kFp32, .row_stride = to_signed(job_.columns), .col_stride = 1};
    float* const target = job_.dw.data() + begin * (by_rows ? job_.columns : 1);
    for (std::size_t b = 0; b < job_.batch; ++b) {
      spec.a = operand(job_.dy, b, false);
      spec.b = operand(job_.x, b, true);
      spec.a.offsets[0] += by_rows ? to_signed(begin) * spec.a.row_stride : 0;
      spec.b.offsets[0] += by_rows ? 0 : to_signed(begin) * spec.b.col_stride;
      linalg::multiply(spec, job_.dy.data, job_.x.data, target);
    }
  }

 private:
  std::size_t longer() const { return std::max(job_.rows, job_.columns); }

  /// Makes `factor` point to a copy, unless it is held.
  std::optional<BufferPool::Buffer> copy(WeightGradientFactor& factor, std::size_t channels) {
    if (factor.hold) return std::nullopt;
    const Rows rows = rows_of(factor, channels, job_.positions);
    const std::size_t n_bytes = job_.batch * rows.n * rows.length * dtype_size(factor.dtype);
    BufferPool::Buffer buffer = pool_.take(n_bytes);
    copy_rows(factor, job_.batch, rows, buffer.data());
    factor.data = buffer.data();
    factor.row_stride = rows.length;
    factor.batch_stride = rows.n * rows.length;
    held_bytes_ += n_bytes;
    return buffer;
  }

  WeightGradient job_;
  BufferPool& pool_;
  std::size_t held_bytes_ = 0;
  std::optional<BufferPool::Buffer> dy_copy_;
  std::optional<BufferPool::Buffer> x_copy_;
};

WeightGradientQueue::WeightGradientQueue(int n_workers, Limits limits)
    : buffers_(std::make_unique<BufferPool>(limits.held_bytes)), tasks_(n_workers, limits) {}

WeightGradientQueue::~WeightGradientQueue() = default;

std::uint64_t WeightGradientQueue::submit(const WeightGradient& job) {
  const std::size_t dw_size = multiply(job.rows, job.columns);
  if (job.dw.size() != dw_size) {
    fail("dw must have " + std::to_string(job.rows) + " * " + std::to_string(job.columns) +
         " elements [M, K], got " + std::to_string(job.dw.size()));
  }
  check_factor("dy", job.dy, job.rows, job.positions);
  check_factor("x", job.x, job.columns, job.positions);
  const std::size_t n_positions = multiply(job.batch, job.positions);
  static_cast<void>(multiply(n_positions, std::max(job.rows, job.columns)));
  if (dw_size == 0 || n_positions == 0) return tasks_.submit({.n_parts = 0});
  const auto shared = std::make_shared<Job>(job, *buffers_);
  // A worker's product takes the pool as a whole.
  const std::size_t n_parts = n_workers() == 0 ? shared->n_parts() : 1;
  return tasks_.submit({.target = job.dw.data(),
                        .target_bytes = job.dw.size_bytes(),
                        .n_parts = n_parts,
                        .run = [shared, n_parts](std::size_t part) { shared->run(part, n_parts); },
                        .held_bytes = shared->held_bytes()});
}

void WeightGradientQueue::wait() { tasks_.wait(); }

void WeightGradientQueue::cancel() { tasks_.cancel(); }

std::uint64_t WeightGradientQueue::oldest_pending() const { return tasks_.oldest_pending(); }

int WeightGradientQueue::n_workers() const { return tasks_.n_workers(); }

}  // namespace pyane
