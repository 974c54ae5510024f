"""What Pyro and PyTorch keep once for the whole process: one thread at a time has it, and gives it back as it was.

Pyro's stack of handlers, its parameter store and its settings, and the generator that its statements draw from, know
nothing of threads; nor do Python's filters of warnings. What must use them does so within `alone` or `drawing`, as
briefly as it can; nothing else in this package uses them.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

import torch

alone = RLock()
"""Held by the thread that runs a Pyro program. Who runs Pyro in one thread of their own and this package in others
takes it as well: `with alone: ...`"""


def _begin_in_child() -> None:
    """In a forked process, which has the thread that forked and no other: PyTorch would wait for its own for ever."""
    torch.set_num_threads(1)
    alone.release()


if hasattr(os, "register_at_fork"):
    # What another thread was in the midst of would stay so for ever in the child.
    os.register_at_fork(before=alone.acquire, after_in_parent=alone.release, after_in_child=_begin_in_child)

CPU = torch.device("cpu")


@contextmanager
def drawing(generator: torch.Generator, device: torch.device = CPU) -> Iterator[None]:
    """Within it what draws without being given a generator, as Pyro's statements do, draws from this one.

    This thread is `alone`, and torch's own generators are afterwards as they were before.

    Args:
        generator: of the CPU; it moves on.
        device: where tensors are; a generator there is seeded by a draw of this one.
    """
    with alone:
        devices = []
        if device.type == "cuda":
            devices = [torch.cuda.current_device() if device.index is None else device.index]
        with torch.random.fork_rng(devices):
            for each in devices:
                with torch.cuda.device(each):
                    torch.cuda.manual_seed(int(torch.randint(2**62, (), generator=generator)))
            torch.random.set_rng_state(generator.get_state())
            try:
                yield
            finally:
                generator.set_state(torch.random.get_rng_state())


def seeded(seed: int) -> torch.Generator:
    """A generator of the CPU that gives what torch's own gives after `torch.manual_seed(seed)`."""
    return torch.Generator().manual_seed(seed)
