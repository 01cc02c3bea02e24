"""Compiled kernels and the threads they run on.

Kernels release the GIL and run on threads, one band of rows or one view each. numba's own `parallel=True` is not
used: it multiplies compile times, and its reductions depend on the thread count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from threading import Event
from typing import Any, TypeVar, cast

import numba

from config.errors import Cancelled
from engine.machine import thread_count
from engine.progress import Checkpoint

__all__ = ["beside", "jit", "jit_allocating", "jit_element", "jit_inline", "parallel_map", "row_bands", "thread_count"]

Function = TypeVar("Function", bound=Callable[..., Any])
Item = TypeVar("Item")
Value = TypeVar("Value")
_TOLD_EVERY_S = 0.1


def jit(function: Function) -> Function:
    """Compile `function` for the CPU: without the GIL, NumPy's rules for division by zero, kept on disk.

    A kernel makes no arrays: what it fills, and what it needs to work in, is handed in. So numba can leave out all
    counting of references (`_nrt`), which with the wrapper for C callers is over a third of the time to compile.
    Loops compile faster than assignments to slices, and a kernel is compiled again for each combination of dtypes,
    memory layouts and int widths it is called with: keep to one.
    """
    return _compile(function, _nrt=False)


def jit_allocating(function: Function) -> Function:
    """Like `jit`, for a function that has to make arrays itself."""
    return _compile(function)


def jit_element(function: Function) -> Function:
    """Compile what a kernel does with one pixel or sample: code of its own, put into each kernel that calls it.

    LLVM would leave all but the smallest as calls, and a call that hands over arrays takes longer than what it is for.
    """
    return _compile(function, _nrt=False, forceinline=True)


def jit_inline(function: Function) -> Function:
    """Compile a small helper that is inlined into the kernels that call it."""
    return _compile(function, _nrt=False, inline="always")


def _compile(function: Function, **options: Any) -> Function:
    options |= {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
    try:
        return cast(Function, numba.njit(cache=True, **options)(function))
    except RuntimeError:  # neither the package's folder nor the user's cache folder can be written
        return cast(Function, numba.njit(**options)(function))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="engine")


def parallel_map(function: Callable[[Item], Value], items: Iterable[Item]) -> list[Value]:
    """`[function(item) for item in items]`, on threads; the order is the items'.

    Of several that raise, the first one's error is raised, and what had not begun by then is left out. The caller is
    one of the threads, and takes what the others have not taken: a future for each item would cost more than short
    kernels take, and waiting for none that has not begun, calls from within others can't wait for each other.
    """
    work = list(items)
    helpers = min(thread_count(), len(work)) - 1
    if helpers < 1:
        return [function(item) for item in work]
    results: dict[int, Value] = {}
    errors: dict[int, BaseException] = {}
    left, to_do = iter(range(len(work))), [function]

    def take() -> None:
        for index in left:
            try:
                results[index] = to_do[0](work[index])
            except BaseException as error:
                errors[index] = error
                for _ in left:
                    pass

    helping = [_pool(thread_count() - 1).submit(take) for _ in range(helpers)]
    try:
        try:
            take()
        finally:
            wait([helper for helper in helping if not helper.cancel()])
        if errors:
            raise errors[min(errors)]
        return [results[index] for index in range(len(work))]
    finally:  # an error holds this frame, and what has not begun is held by the pool until one of its threads is free
        errors.clear()
        results.clear()
        work.clear()
        to_do.clear()


@contextmanager
def beside(function: Callable[[Checkpoint], Value]) -> Iterator[Callable[[Checkpoint], Value]]:
    """Run `function` on a thread of its own meanwhile; yields what waits for it and returns its value or raises.

    What waits hands the progress on to the checkpoint that it is given. It has ended once the block is left: where that
    is by an exception, function's own next checkpoint raises Cancelled. Where one thread is all there is, it runs when
    it is waited for.
    """
    if thread_count() == 1:
        yield function
        return
    left, done = Event(), [0.0]

    def checkpoint(fraction: float) -> None:
        if left.is_set():
            raise Cancelled
        done[0] = fraction

    with ThreadPoolExecutor(1, thread_name_prefix="engine-beside") as thread:
        running = thread.submit(function, checkpoint)

        def waited(told: Checkpoint) -> Value:
            while not wait([running], _TOLD_EVERY_S).done:
                told(done[0])
            return running.result()

        try:
            yield waited
        except BaseException:
            left.set()
            raise


def row_bands(rows: int, bands: int | None = None) -> list[tuple[int, int]]:
    """Split `rows` into half-open ranges of about equal length, one or more for each thread."""
    count = max(1, min(rows, bands or thread_count()))
    edges = [rows * i // count for i in range(count + 1)]
    return list(pairwise(edges))
