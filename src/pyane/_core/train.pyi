"""
CPU half of training, on fp32 buffers.
"""
from __future__ import annotations
import collections.abc
import numpy
import typing
__all__: list[str] = ['WeightGradientQueue', 'adam_update', 'classifier_backward', 'classifier_forward', 'classifier_weight_gradient', 'cross_entropy_forward', 'cross_entropy_forward_backward', 'embedding_backward', 'embedding_forward', 'global_norm', 'has_nonfinite', 'rmsnorm_backward', 'rmsnorm_forward', 'unscale']
class WeightGradientQueue:
    """
    Weight gradients on worker threads, while the device evaluates.
    
    `submit` adds jobs, `wait` returns when every dw is complete. Jobs on the same dw are added in the
    order of submission, so the result is the same bits whatever the timing and the number of workers.
    An error in a worker is kept, the jobs after it are dropped, and the next `wait` raises it.
    
    As a context manager: waits at the end of the block, or cancels when it is left by an exception.
    A queue belongs to its process: after fork, make another one.
    
    Args:
        n_workers: Threads; 0: all jobs run in `wait`, on the thread pool.
        max_held_bytes: Copies of factors kept at most; `submit` works off jobs beyond.
        max_jobs: Jobs pending at most, likewise.
    """
    def __enter__(self) -> typing.Any:
        ...
    def __exit__(self, arg0: typing.Any, arg1: typing.Any, arg2: typing.Any) -> None:
        ...
    def __init__(self, n_workers: typing.SupportsInt | typing.SupportsIndex = 1, *, max_held_bytes: typing.SupportsInt | typing.SupportsIndex = 268435456, max_jobs: typing.SupportsInt | typing.SupportsIndex = 1024) -> None:
        ...
    def cancel(self) -> None:
        """
        Drops jobs that have not begun; what they would have added to is in an unknown state.
        """
    def submit(self, dw: numpy.ndarray, dy: numpy.ndarray, x: numpy.ndarray, *, scale: typing.SupportsFloat | typing.SupportsIndex = 1.0, positions_first_dy: bool = False, hold_dy: bool = False, hold_x: bool = False) -> None:
        """
        dw[m,k] += scale * sum_{b,s} dy[b,m,s] * x[b,k,s], later.
        
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
        """
    def wait(self) -> None:
        """
        Returns when all jobs are done; raises the first error since the last `wait`.
        """
    @property
    def n_workers(self) -> int:
        ...
def adam_update(params: numpy.ndarray, grads: numpy.ndarray, m: numpy.ndarray, v: numpy.ndarray, *, step: typing.SupportsInt | typing.SupportsIndex, learning_rate: typing.SupportsFloat | typing.SupportsIndex, beta1: typing.SupportsFloat | typing.SupportsIndex = 0.9, beta2: typing.SupportsFloat | typing.SupportsIndex = 0.999, eps: typing.SupportsFloat | typing.SupportsIndex = 1e-08, weight_decay: typing.SupportsFloat | typing.SupportsIndex = 0.0, decayed: collections.abc.Sequence[tuple[typing.SupportsInt | typing.SupportsIndex, typing.SupportsInt | typing.SupportsIndex]] = [], grad_scale: typing.SupportsFloat | typing.SupportsIndex = 1.0, zero_grads: bool = False, halves: collections.abc.Sequence[tuple[typing.SupportsInt | typing.SupportsIndex, numpy.ndarray]] = []) -> None:
    """
    One step of AdamW over flat buffers, in one pass.
    
    Args:
        params: float32 [n], updated.
        grads: float32 [n]; written only with zero_grads.
        m: float32 [n], first moments, updated.
        v: float32 [n], second moments, updated.
        step: Number of this update, from 1.
        learning_rate: Multiplies the weight decay too, as in PyTorch.
        beta1: Decay of m.
        beta2: Decay of v.
        eps: Added to sqrt(v / (1 - beta2^step)).
        weight_decay: Decoupled weight decay of the elements in `decayed`.
        decayed: (begin, end) element ranges, ascending and disjoint.
        grad_scale: Factor on every gradient: 1 / loss scale, 1 / micro-batches, clipping.
        zero_grads: Leave grads 0 for the next step.
        halves: (begin, float16 array) pairs, ascending and disjoint: each array, of any shape, is filled
            with the new params from element `begin` on, rounded half to even. The arrays share no memory.
    
    Raises:
        ShapeError: A dtype, a length, shared memory, an option or a range that does not fit.
    """
def classifier_backward(dx: numpy.ndarray, dlogits: numpy.ndarray, w: numpy.ndarray) -> None:
    """
    dx[b,c,s] = sum_v w[v,c] * dlogits[b,s,v].
    
    Args:
        dx: float32 [C, S], [B, C, S] or [B, C, 1, S], overwritten.
        dlogits: float32 [B * S, V] or [B, S, V].
        w: float32 [V, C].
    
    Raises:
        ShapeError: A dtype, a shape, or shared memory.
    """
def classifier_forward(logits: numpy.ndarray, x: numpy.ndarray, w: numpy.ndarray) -> None:
    """
    logits[b,s,v] = sum_c x[b,c,s] * w[v,c].
    
    Args:
        logits: float32 [B * S, V] or [B, S, V], overwritten.
        x: float32 [C, S], [B, C, S] or [B, C, 1, S].
        w: float32 [V, C].
    
    Raises:
        ShapeError: A dtype, a shape, or shared memory.
    """
def classifier_weight_gradient(dw: numpy.ndarray, dlogits: numpy.ndarray, x: numpy.ndarray, *, scale: typing.SupportsFloat | typing.SupportsIndex = 1.0) -> None:
    """
    dw[v,c] += scale * sum_{b,s} dlogits[b,s,v] * x[b,c,s].
    
    `WeightGradientQueue.submit(dw, dlogits, x, positions_first_dy=True)` does it asynchronously.
    
    Args:
        dw: float32 [V, C], added to.
        dlogits: float32 [B * S, V] or [B, S, V].
        x: float32 [C, S], [B, C, S] or [B, C, 1, S].
        scale: Factor, to undo a loss scale.
    
    Raises:
        ShapeError: A dtype, a shape, or shared memory.
    """
def cross_entropy_forward(logits: numpy.ndarray, targets: numpy.ndarray) -> tuple:
    """
    Mean negative log-likelihood (nats) of targets under softmax(logits).
    
    Args:
        logits: float32 [N, V] or [B, S, V].
        targets: int32 [N] or [B, S]; negative ones are ignored.
    
    Returns:
        (mean over the counted targets, 0.0 if there is none; number of counted targets).
    
    Raises:
        ShapeError: A dtype, a shape, or a target of V or more (with its position).
    """
def cross_entropy_forward_backward(logits: numpy.ndarray, targets: numpy.ndarray, *, gradient_scale: typing.SupportsFloat | typing.SupportsIndex = 1.0) -> tuple:
    """
    As cross_entropy_forward, and overwrites the logits with their gradient:
    
        dlogits[n] = gradient_scale / n_counted * (softmax(logits[n]) - onehot(targets[n]))
    
    and 0 where the target is ignored. Nothing is overwritten when a target is out of range.
    
    Args:
        logits: float32 [N, V] or [B, S, V], overwritten.
        targets: int32 [N] or [B, S]; negative ones are ignored.
        gradient_scale: The loss scale.
    
    Returns:
        (mean over the counted targets, 0.0 if there is none; number of counted targets).
    
    Raises:
        ShapeError: A dtype, a shape, or a target of V or more (with its position).
    """
def embedding_backward(dtable: numpy.ndarray, dx: numpy.ndarray, tokens: numpy.ndarray, *, scale: typing.SupportsFloat | typing.SupportsIndex = 1.0) -> None:
    """
    dtable[tokens[b,s], c] += scale * dx[b,c,s], in the order of positions.
    
    Args:
        dtable: float32 [V, C], added to. Wait for queued weight gradients of the same array first.
        dx: float32 or float16 [C, S], [B, C, S] or [B, C, 1, S].
        tokens: int32 [S] or [B, S].
        scale: Factor on dx, to undo a loss scale.
    
    Raises:
        ShapeError: A dtype, a shape, or a token outside [0, V) (with its position).
    """
def embedding_forward(x: numpy.ndarray, table: numpy.ndarray, tokens: numpy.ndarray) -> None:
    """
    x[b,c,s] = table[tokens[b,s], c].
    
    Args:
        x: float32 or float16 [C, S], [B, C, S] or [B, C, 1, S], overwritten.
        table: float32 [V, C].
        tokens: int32 [S] or [B, S].
    
    Raises:
        ShapeError: A dtype, a shape, or a token outside [0, V) (with its position).
    """
def global_norm(grads: numpy.ndarray) -> float:
    """
    sqrt(sum of squares) of a float32 array, summed in fp64; not finite exactly when an element is not.
    """
def has_nonfinite(values: numpy.ndarray) -> bool:
    """
    True if an element of a float32 array is NaN or infinite.
    """
def rmsnorm_backward(dx: numpy.ndarray, dw: numpy.ndarray, dy: numpy.ndarray, x: numpy.ndarray, w: numpy.ndarray, *, eps: typing.SupportsFloat | typing.SupportsIndex = 9.999999747378752e-06, accumulate_dx: bool = False, dw_scale: typing.SupportsFloat | typing.SupportsIndex = 1.0) -> None:
    """
    Gradient of rmsnorm_forward; with r = 1 / sqrt(mean_c x^2 + eps) and g = w * dy:
    
        dx  = r * (g - x * r^2 / C * sum_c g * x)      (dx += with accumulate_dx)
        dw += dw_scale * sum_{b,s} dy * x * r
    
    Args:
        dx: float32 or float16, as x. May share memory with no other argument.
        dw: float32 [C], added to.
        dy: float32 or float16, as x.
        x: float32 or float16 [C, S], [B, C, S] or [B, C, 1, S]: the input of the forward pass.
        w: float32 [C].
        eps: As in the forward pass.
        accumulate_dx: Add to dx, for the gradient of a residual stream.
        dw_scale: Factor on what is added to dw, to undo a loss scale.
    
    Raises:
        ShapeError: A dtype, a shape, or shared memory.
    """
def rmsnorm_forward(y: numpy.ndarray, x: numpy.ndarray, w: numpy.ndarray, *, eps: typing.SupportsFloat | typing.SupportsIndex = 9.999999747378752e-06) -> None:
    """
    y[b,c,s] = w[c] * x[b,c,s] / sqrt(mean_c x[b,c,s]^2 + eps).
    
    Args:
        y: float32 or float16, as x, overwritten. May be x when both are float32.
        x: float32 or float16 [C, S], [B, C, S] or [B, C, 1, S].
        w: float32 [C].
        eps: Added to the mean square.
    
    Raises:
        ShapeError: A dtype, a shape, or memory shared by x and y.
    """
def unscale(grads: numpy.ndarray, scale: typing.SupportsFloat | typing.SupportsIndex) -> bool:
    """
    grads *= scale in place (float32); False if an element was, or became, NaN or infinite.
    """
