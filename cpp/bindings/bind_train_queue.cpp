#include <deque>
#include <exception>
#include <utility>

#include "array_args.h"
#include "bindings.h"
#include "pyane/base/error.h"
#include "pyane/train/weight_gradient_queue.h"

namespace py = pybind11;
using py::literals::operator""_a;
using namespace pyane;            // NOLINT(google-build-using-namespace)
using namespace pyane::bindings;  // NOLINT(google-build-using-namespace)

namespace {

constexpr const char* kWhere = "WeightGradientQueue";

/// [R, S], [B, R, S] or [B, R, 1, S] with S contiguous; with positions first [S, R] or [B, S, R].
struct FactorArray {
  WeightGradientFactor factor;
  std::size_t batch;
  std::size_t channels;
  std::size_t positions;
};

FactorArray factor_arg(const char* name, const py::array& array, bool positions_first, bool hold) {
  const py::ssize_t rank = array.ndim();
  if (!is_float32(array) && !is_float16(array)) {
    reject(kWhere, name, "float32 or float16", array);
  }
  const bool engine_layout = !positions_first && rank == 4 && array.shape(2) == 1;
  if (rank != 2 && rank != 3 && !engine_layout) {
    reject(kWhere, name,
           positions_first ? "[S, C] or [B, S, C]" : "[C, S], [B, C, S] or [B, C, 1, S]", array);
  }
  const py::ssize_t rows_axis = rank == 2 ? 0 : 1;
  const py::ssize_t item = array.itemsize();
  const auto n_rows = static_cast<std::size_t>(array.shape(rows_axis));
  const auto row = static_cast<std::size_t>(array.shape(rank - 1));
  const std::size_t batch = rank == 2 ? 1 : static_cast<std::size_t>(array.shape(0));
  // NumPy leaves the stride of an axis of length 1, and all of an empty array, undefined.
  std::size_t row_stride = row;
  std::size_t batch_stride = n_rows * row;
  const auto stride_of = [&](py::ssize_t axis) {
    const py::ssize_t stride = array.strides(axis);
    if (stride < 0 || stride % item != 0) {
      reject(kWhere, name, "without negative or broken strides", array);
    }
    return static_cast<std::size_t>(stride / item);
  };
  const bool empty = array.size() == 0;
  if (!empty && row > 1 && array.strides(rank - 1) != item) {
    reject(kWhere, name, "contiguous along its last axis", array);
  }
  if (!empty && n_rows > 1) row_stride = stride_of(rows_axis);
  if (!empty && batch > 1) batch_stride = stride_of(0);
  return {.factor = {.data = array.data(),
                     .dtype = is_float16(array) ? DType::kFp16 : DType::kFp32,
                     .batch_stride = batch_stride,
                     .row_stride = row_stride,
                     .positions_first = positions_first,
                     .hold = hold},
          .batch = batch,
          .channels = positions_first ? row : n_rows,
          .positions = positions_first ? n_rows : row};
}

/// Keeps the arrays of a job alive until it is over. Everything but the calls into the queue runs
/// under the GIL.
class PyWeightGradientQueue {
 public:
  PyWeightGradientQueue(int n_workers, std::size_t max_held_bytes, std::size_t max_jobs)
      : queue_(std::make_unique<WeightGradientQueue>(
            n_workers,
            WeightGradientQueue::Limits{.held_bytes = max_held_bytes, .tasks = max_jobs})) {}

  ~PyWeightGradientQueue() {
    const py::gil_scoped_release release;
    queue_.reset();
  }
  PyWeightGradientQueue(const PyWeightGradientQueue&) = delete;
  PyWeightGradientQueue& operator=(const PyWeightGradientQueue&) = delete;

  void submit(py::array& dw, const py::array& dy, const py::array& x, float scale,
              bool positions_first_dy, bool hold_dy, bool hold_x) {
    const auto dw_view = float32_out(kWhere, "dw", dw);
    const FactorArray a = factor_arg("dy", dy, positions_first_dy, hold_dy);
    const FactorArray b = factor_arg("x", x, false, hold_x);
    if (a.batch != b.batch || a.positions != b.positions) {
      throw ShapeError("WeightGradientQueue: dy " + describe(dy) + " and x " + describe(x) +
                       " disagree on B or S: B " + std::to_string(a.batch) + " and " +
                       std::to_string(b.batch) + ", S " + std::to_string(a.positions) + " and " +
                       std::to_string(b.positions));
    }
    if (dw_view.size() != a.channels * b.channels) {
      reject(kWhere, "dw",
             "[M, K] = [" + std::to_string(a.channels) + ", " + std::to_string(b.channels) + "]",
             dw);
    }
    const WeightGradient job = {.dw = dw_view,
                                .rows = a.channels,
                                .columns = b.channels,
                                .batch = a.batch,
                                .positions = a.positions,
                                .dy = a.factor,
                                .x = b.factor,
                                .scale = scale};
    std::uint64_t number = 0;
    {
      const py::gil_scoped_release release;
      number = queue_->submit(job);
    }
    borrowed_.emplace_back(number, dw);
    if (hold_dy) borrowed_.emplace_back(number, dy);
    if (hold_x) borrowed_.emplace_back(number, x);
    release_finished();
  }

  void wait() {
    std::exception_ptr thrown;
    {
      const py::gil_scoped_release release;
      try {
        queue_->wait();
      } catch (...) {
        thrown = std::current_exception();
      }
    }
    release_finished();
    if (thrown) std::rethrow_exception(thrown);
  }

  void cancel() {
    {
      const py::gil_scoped_release release;
      queue_->cancel();
    }
    release_finished();
  }

  int n_workers() const { return queue_->n_workers(); }

 private:
  void release_finished() {
    const std::uint64_t end = queue_->oldest_pending();
    // Two threads may have submitted out of order, so not only from the front. An array's end may
    // run Python code, so only once this deque is in order again.
    std::deque<Borrowed> finished;
    std::deque<Borrowed> pending;
    for (Borrowed& entry : borrowed_) {
      (entry.first < end ? finished : pending).push_back(std::move(entry));
    }
    borrowed_.swap(pending);
  }

  using Borrowed = std::pair<std::uint64_t, py::object>;
  std::unique_ptr<WeightGradientQueue> queue_;
  std::deque<Borrowed> borrowed_;
};

}  // namespace

void bind_train_queue(py::module_& train) {
  py::class_<PyWeightGradientQueue>(
      train, "WeightGradientQueue",
      R"doc(Weight gradients on worker threads, while the device evaluates.

`submit` adds jobs, `wait` returns when every dw is complete. Jobs on the same dw are added in the
order of submission, so the result is the same bits whatever the timing and the number of workers.
An error in a worker is kept, the jobs after it are dropped, and the next `wait` raises it.

As a context manager: waits at the end of the block, or cancels when it is left by an exception.
A queue belongs to its process: after fork, make another one.

Args:
    n_workers: Threads; 0: all jobs run in `wait`, on the thread pool.
    max_held_bytes: Copies of factors kept at most; `submit` works off jobs beyond.
    max_jobs: Jobs pending at most, likewise.
)doc")
      .def(py::init<int, std::size_t, std::size_t>(), "n_workers"_a = 1, py::kw_only(),
           "max_held_bytes"_a = WeightGradientQueue::Limits().held_bytes,
           "max_jobs"_a = WeightGradientQueue::Limits().tasks)
      .def("submit", &PyWeightGradientQueue::submit, "dw"_a.noconvert(), "dy"_a.noconvert(),
           "x"_a.noconvert(), py::kw_only(), "scale"_a = 1.0F, "positions_first_dy"_a = false,
           "hold_dy"_a = false, "hold_x"_a = false,
           R"doc(dw[m,k] += scale * sum_{b,s} dy[b,m,s] * x[b,k,s], later.

dy and x are copied before this returns, unless held; only their last axis must be contiguous, so a
slice of a surface's spatial axis will do.

Args:
    dw: float32, M * K elements, C-contiguous. Not to be touched before `wait`.
    dy: float32 or float16 [M, S], [B, M, S] or [B, M, 1, S].
    x: float32 or float16 [K, S], [B, K, S] or [B, K, 1, S].
    scale: Factor, to undo a loss scale.
    positions_first_dy: dy is [S, M] or [B, S, M], as dlogits are.
    hold_dy: Do not copy dy; it must not change before `wait`.
    hold_x: Do not copy x; it must not change before `wait`.

Raises:
    ShapeError: A dtype or shape that does not fit.
    Error: The queue belongs to another process.
)doc")
      .def("wait", &PyWeightGradientQueue::wait,
           "Returns when all jobs are done; raises the first error since the last `wait`.")
      .def("cancel", &PyWeightGradientQueue::cancel,
           "Drops jobs that have not begun; what they would have added to is in an unknown state.")
      .def_property_readonly("n_workers", &PyWeightGradientQueue::n_workers)
      .def("__enter__", [](py::object self) { return self; })
      .def("__exit__", [](PyWeightGradientQueue& self, const py::object& type, const py::object&,
                          const py::object&) {
        if (type.is_none()) {
          self.wait();
        } else {
          self.cancel();
        }
      });
}
