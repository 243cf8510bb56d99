"""What surrounds the updates of a fit: batches prepared ahead, and signals that wait their turn."""

import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import FrameType

import torch

from srvp_world.world import Batch

AHEAD = 2


@contextmanager
def prefetched(
    batches: Callable[[int], Batch], iterations: range, device: torch.device
) -> Iterator[Iterator[Batch]]:
    """Prepare batches in a background thread, in order, and move them to the device.

    The copy to the device blocks the thread, not the training. An error in `batches(i)` is raised
    where batch i is due.
    """

    def prepare(iteration: int) -> Batch:
        return batches(iteration).to(device)

    def stream() -> Iterator[Batch]:
        pending = deque(pool.submit(prepare, i) for i in iterations[:AHEAD])
        for i in iterations:
            batch = pending.popleft().result()
            if i + AHEAD in iterations:
                pending.append(pool.submit(prepare, i + AHEAD))
            yield batch

    pool = ThreadPoolExecutor(1, "batches")
    try:
        yield stream()
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def held_interrupts(*, insistent: bool = True) -> Iterator[Callable[[], bool]]:
    """Hold Ctrl-C and SIGTERM back, so that they cut no update in half.

    An update changes batch statistics, then weights one after the other: stopped in between, there
    would be no state to go on from. A program that handles a signal itself keeps its own way.

    Args:
        insistent: Whether a second signal interrupts at once.

    Yields:
        A function that says whether there was one.
    """
    pressed = threading.Event()

    def hold(signum: int, frame: FrameType | None) -> None:
        if pressed.is_set() and insistent:
            raise KeyboardInterrupt
        pressed.set()

    main = threading.current_thread() is threading.main_thread()
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    before = {each: signal.getsignal(each) for each in usual}
    held = [each for each, handler in usual.items() if main and before[each] == handler]
    for each in held:
        signal.signal(each, hold)
    try:
        yield pressed.is_set
    finally:
        for each in held:
            signal.signal(each, before[each])
