from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref

import numpy as np
import pytest

import reference_train
from pyane._core import base, train
from pyane.errors import ShapeError

EPS32 = float(np.finfo(np.float32).eps)
# B, M, K, S: one block of dw is 256 rows.
SHAPES = [(1, 1, 1, 1), (2, 7, 5, 3), (1, 257, 16, 31), (3, 64, 172, 17), (1, 513, 33, 64)]


@pytest.fixture(params=[0, 1, 3], ids=lambda n: f"{n}workers")
def n_workers(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def make(rng: np.random.Generator, b: int, m: int, k: int, s: int, dtype: str) -> tuple:
    dy = rng.standard_normal((b, m, s)).astype(dtype)
    x = rng.standard_normal((b, k, s)).astype(dtype)
    return dy, x


def check(dw: np.ndarray, dy: np.ndarray, x: np.ndarray, scale: float = 1.0) -> None:
    expected = scale * reference_train.weight_gradient(dy, x)
    magnitude = scale * reference_train.weight_gradient(np.abs(dy), np.abs(x))
    n_sum = dy.shape[0] * dy.shape[2]
    assert (np.abs(dw - expected) <= (n_sum + 2) * EPS32 * magnitude).all()


@pytest.mark.parametrize(("b", "m", "k", "s"), SHAPES)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_one_job(
    rng: np.random.Generator, n_workers: int, b: int, m: int, k: int, s: int, dtype: str
) -> None:
    dy, x = make(rng, b, m, k, s, dtype)
    dw = np.zeros((m, k), np.float32)
    with train.WeightGradientQueue(n_workers) as queue:
        assert queue.n_workers == n_workers
        queue.submit(dw, dy, x, scale=0.25)
    check(dw, dy, x, 0.25)


def test_inputs_may_change_after_submit(rng: np.random.Generator, n_workers: int) -> None:
    """Unlike held ones: a surface is overwritten by the next evaluation."""
    dy, x = make(rng, 2, 300, 40, 64, "float32")
    kept_dy, kept_x = dy.copy(), x.copy()
    dw = np.zeros((300, 40), np.float32)
    with train.WeightGradientQueue(n_workers) as queue:
        queue.submit(dw, dy, x)
        dy[...] = np.nan
        x[...] = np.nan
    check(dw, kept_dy, kept_x)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("hold", [False, True])
def test_slices_of_a_spatial_axis(rng: np.random.Generator, dtype: str, hold: bool) -> None:
    surface = rng.standard_normal((2, 20, 1, 100)).astype(dtype)
    dy, x = surface[:, :13, :, 10:40], surface[:, 13:, :, 60:90]
    dw = np.zeros((13, 7), np.float32)
    with train.WeightGradientQueue() as queue:
        queue.submit(dw, dy, x, hold_dy=hold, hold_x=hold)
    check(dw, dy[:, :, 0], x[:, :, 0])


@pytest.mark.parametrize("hold", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_positions_first(rng: np.random.Generator, n_workers: int, hold: bool, dtype: str) -> None:
    dy, x = make(rng, 2, 300, 5, 9, dtype)
    dlogits = np.ascontiguousarray(dy.transpose(0, 2, 1))
    dw = np.zeros((300, 5), np.float32)
    with train.WeightGradientQueue(n_workers) as queue:
        queue.submit(dw, dlogits, x, positions_first_dy=True, hold_dy=hold, hold_x=hold)
    check(dw, dy, x)


def run_many(rng: np.random.Generator, n_workers: int, max_held_bytes: int) -> bytes:
    """Sixty jobs on six destinations, two of which overlap in memory."""
    flat = np.zeros(5 * 300 * 20, np.float32)
    targets = [flat[i * 6000 : (i + 1) * 6000].reshape(300, 20) for i in range(5)]
    targets.append(flat[3000:9000].reshape(300, 20))
    with train.WeightGradientQueue(n_workers, max_held_bytes=max_held_bytes) as queue:
        for i in range(60):
            dy, x = make(rng, 2, 300, 20, 33, "float16")
            queue.submit(targets[i * 7 % 6], dy, x, scale=1.0 + i)
    return flat.tobytes()


@pytest.mark.usefixtures("keep_num_threads")
def test_bits_do_not_depend_on_workers_or_limits() -> None:
    results = set()
    for n_threads in (1, 4):
        base.set_num_threads(n_threads)
        for n_workers in (0, 1, 2, 4):
            for max_held_bytes in (0, 200_000, 1 << 28):
                rng = np.random.default_rng(3)
                results.add(run_many(rng, n_workers, max_held_bytes))
    assert len(results) == 1


@pytest.mark.usefixtures("keep_num_threads")
@pytest.mark.parametrize(("m", "k"), [(2051, 512), (512, 2051)])
@pytest.mark.parametrize("positions_first", [False, True])
def test_parts_of_a_large_job(
    rng: np.random.Generator, m: int, k: int, positions_first: bool
) -> None:
    """Without workers it is cut into parts; the bits are those of the whole."""
    dy, x = make(rng, 2, m, k, 150, "float16")
    given = np.ascontiguousarray(dy.transpose(0, 2, 1)) if positions_first else dy
    start = rng.standard_normal((m, k), dtype=np.float32)
    results = set()
    for n_threads, n_workers in ((1, 1), (1, 0), (3, 0)):
        base.set_num_threads(n_threads)
        dw = start.copy()
        with train.WeightGradientQueue(n_workers) as queue:
            queue.submit(dw, given, x, scale=0.5, positions_first_dy=positions_first)
        results.add(dw.tobytes())
    assert len(results) == 1
    rows = [0, 1024, 1025, m - 1] if m > k else [0, m - 1]
    columns = [0, 1024, 1025, k - 1] if k > m else [0, k - 1]
    check((dw - start)[np.ix_(rows, columns)], dy[:, rows], x[:, columns], 0.5)


def test_queue_is_usable_after_wait(rng: np.random.Generator, n_workers: int) -> None:
    dy, x = make(rng, 1, 30, 20, 10, "float32")
    dw = np.zeros((30, 20), np.float32)
    queue = train.WeightGradientQueue(n_workers)
    queue.wait()
    for _ in range(3):
        queue.submit(dw, dy, x)
        queue.wait()
    check(dw, np.concatenate([dy] * 3), np.concatenate([x] * 3))


def test_arrays_live_until_their_job_is_over(rng: np.random.Generator) -> None:
    dy, x = make(rng, 1, 2000, 300, 64, "float32")
    dw = np.zeros((2000, 300), np.float32)
    alive = [weakref.ref(a) for a in (dw, dy, x)]
    queue = train.WeightGradientQueue(1)
    for _ in range(5):
        queue.submit(dw, dy, x, hold_dy=True, hold_x=True)
    del dw, dy, x
    queue.wait()
    gc.collect()
    assert [ref() for ref in alive] == [None, None, None]


def test_destruction_with_pending_jobs(rng: np.random.Generator) -> None:
    dy, x = make(rng, 1, 500, 300, 64, "float32")
    dw = np.zeros((500, 300), np.float32)
    for _ in range(10):
        queue = train.WeightGradientQueue(2)
        for _ in range(20):
            queue.submit(dw, dy, x)
        del queue


def test_leaving_by_an_exception_cancels(rng: np.random.Generator, n_workers: int) -> None:
    dy, x = make(rng, 1, 30, 20, 10, "float32")
    queue = train.WeightGradientQueue(n_workers)

    def leave() -> None:
        with queue:
            queue.submit(np.zeros((30, 20), np.float32), dy, x)
            raise KeyError

    with pytest.raises(KeyError):
        leave()
    dw = np.zeros((30, 20), np.float32)
    queue.submit(dw, dy, x)
    queue.wait()
    check(dw, dy, x)


def test_many_small_jobs(n_workers: int) -> None:
    dw = np.zeros((4, 3), np.float32)
    dy, x = np.ones((1, 4, 2), np.float16), np.ones((1, 3, 2), np.float16)
    with train.WeightGradientQueue(n_workers, max_jobs=7) as queue:
        for _ in range(3000):
            queue.submit(dw, dy, x)
    assert (dw == 6000).all()


def test_empty_jobs(n_workers: int) -> None:
    dw = np.ones((4, 3), np.float32)
    with train.WeightGradientQueue(n_workers) as queue:
        queue.submit(dw, np.ones((1, 4, 0), np.float32), np.ones((1, 3, 0), np.float32))
        queue.submit(dw[:0], np.ones((1, 0, 2), np.float32), np.ones((1, 3, 2), np.float32))
    assert (dw == 1).all()


def test_errors() -> None:
    queue = train.WeightGradientQueue()
    dw, dy, x = (np.zeros(s, np.float32) for s in ((4, 3), (2, 4, 5), (2, 3, 5)))
    with pytest.raises(ShapeError, match=r"dw must be \[M, K\] = \[4, 3\], got float32 \[4, 2\]"):
        queue.submit(dw[:, :2].copy(), dy, x)
    with pytest.raises(ShapeError, match="disagree on B or S: B 2 and 2, S 5 and 4"):
        queue.submit(dw, dy, x[:, :, :4])
    with pytest.raises(ShapeError, match="disagree on B or S: B 2 and 1, S 5 and 5"):
        queue.submit(dw, dy, x[:1])
    with pytest.raises(ShapeError, match="dy must be float32 or float16, got float64"):
        queue.submit(dw, dy.astype(np.float64), x)
    with pytest.raises(ShapeError, match="dy must be contiguous along its last axis"):
        queue.submit(dw, dy[:, :, ::2], x[:, :, :3])
    with pytest.raises(ShapeError, match="dy must be without negative or broken strides"):
        queue.submit(dw, dy[:, ::-1], x)
    with pytest.raises(ShapeError, match=r"x must be \[C, S\], .* got float32 \[5\]"):
        queue.submit(dw, dy, x[0, 0])
    with pytest.raises(ShapeError, match="dw must be C-contiguous"):
        queue.submit(dw.T, x, dy)
    with pytest.raises(ShapeError, match=r"n_workers must be in \[0, 256\], got -1"):
        train.WeightGradientQueue(-1)
    with pytest.raises(ShapeError, match="limit of tasks must be at least 1, got 0"):
        train.WeightGradientQueue(max_jobs=0)
    queue.wait()  # none of these was queued
    assert (dw == 0).all()


EXIT_WITH_PENDING_JOBS = """
import builtins, numpy as np
from pyane._core import train
dw, dy, x = (np.ones(s, np.float32) for s in ((4000, 1000), (1, 4000, 64), (1, 1000, 64)))
builtins.kept = queue = train.WeightGradientQueue(2)  # not destroyed before the interpreter ends
for _ in range(30):
    queue.submit(dw, dy, x, hold_dy=True, hold_x=True)
print("done")
"""


def test_exit_with_pending_jobs() -> None:
    result = subprocess.run(
        [sys.executable, "-c", EXIT_WITH_PENDING_JOBS], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "done\n", "")


FORK = """
import os, numpy as np
from pyane._core import train
from pyane.errors import Error
dy, x, dw = np.ones((1, 600, 64), "f4"), np.ones((1, 500, 64), "f4"), np.zeros((600, 500), "f4")
queue = train.WeightGradientQueue(2)
for _ in range(20):
    queue.submit(dw, dy, x)
child = os.fork()
if child == 0:
    try:
        queue.wait()
    except Error as e:
        assert "make another one after fork()" in str(e), e
    else:
        os._exit(3)
    del queue
    mine = np.zeros((600, 500), "f4")
    with train.WeightGradientQueue(2) as own:
        own.submit(mine, dy, x)
    raise SystemExit(0 if (mine == 64).all() else 4)
queue.wait()
assert (dw == 20 * 64).all()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_fork_with_pending_jobs() -> None:
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "0\n", "")
