"""Work in several processes: results as they come, errors by name, no death missed."""

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pickle import PicklingError
from typing import Any, Literal, NamedTuple, TypeVar

import torch

from srvp_world.errors import ConfigError, SRVPWorldError

T = TypeVar("T")

Job = Callable[[], Iterator[T]]
"""Yields its results when called; where there are several jobs, each must be picklable."""


class _Message(NamedTuple):
    kind: Literal["result", "failed", "done"]
    content: Any = None


def run_jobs(jobs: Sequence[Job[T]]) -> Generator[tuple[int, T], None, None]:
    """Run jobs side by side; give each result, with the index of its job, as soon as it is there.

    A single job runs in this process, several run in a spawned process each. Whoever closes this
    iterator early, also by an error or Ctrl-C, stops the processes.

    Raises:
        ConfigError: If a job cannot be sent to another process.
        SRVPWorldError: The error that a job raised, or one that says that its process died.
        RuntimeError: For any other error in a process, with the traceback as a note.
    """
    if len(jobs) == 1:
        for result in jobs[0]():
            yield 0, result
        return
    processes: list[SpawnProcess] = []
    receivers: dict[Any, int] = {}  # the connections to jobs that still run, and their index
    try:
        for index, job in enumerate(jobs):
            process, receiver = _start(job)
            processes.append(process)
            receivers[receiver] = index
        while receivers:
            ready: list[Any] = wait(list(receivers))
            for receiver in ready:
                index = receivers[receiver]
                message = _receive(receiver, processes[index])
                if message.kind == "done":
                    del receivers[receiver]
                    processes[index].join(5)
                else:
                    yield index, message.content
    finally:
        _stop(processes)


def _start(job: Job[Any]) -> tuple[SpawnProcess, Connection]:
    # A pipe for each process, not a queue for all: one killed while it writes cannot lock out the
    # others, and its death shows as the end of its pipe.
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(job, sender))
    try:
        with _interrupts_ignored():
            process.start()
    except (PicklingError, AttributeError, TypeError) as error:
        raise ConfigError(
            f"the policy cannot be sent to worker processes ({error}): "
            "build it in a function at the top of a module, or use workers=1"
        ) from error
    sender.close()
    return process, receiver


def _receive(receiver: Connection, process: SpawnProcess) -> _Message:
    """Take the next message; raise the error that it carries, or that there is none."""
    try:
        message: _Message = receiver.recv()
    except (EOFError, ConnectionError):
        process.join()
        raise SRVPWorldError(
            f"a worker process died with exit code {process.exitcode}: use fewer workers if "
            "memory ran out, and in a script start them under `if __name__ == '__main__':`"
        ) from None
    if message.kind == "failed":
        raise message.content
    return message


def _stop(processes: Sequence[SpawnProcess]) -> None:
    """End the processes that still run, by force if they do not listen."""
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(5)
        if process.is_alive():
            process.kill()
            process.join()


def _work(job: Job[Any], sender: Connection) -> None:
    """Run a job in a process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which then stops us
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that envs and files are closed
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    with suppress(BrokenPipeError):  # the parent is gone, and nobody to tell
        try:
            for result in job():
                sender.send(_Message("result", result))
            sender.send(_Message("done"))
        except SRVPWorldError as error:
            sender.send(_Message("failed", error))
        except BrokenPipeError:
            raise
        except Exception as error:
            failure = RuntimeError(f"{type(error).__name__} in a worker process: {error}")
            failure.add_note(traceback.format_exc())
            sender.send(_Message("failed", failure))


def _end_with_parent() -> None:
    """End this process as soon as its parent is gone, however that died.

    What a worker would still do, nobody would count. Files are whole or not there, so that none is
    broken by it.
    """
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Start processes deaf to Ctrl-C, which would print a traceback while they still import."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
