"""Where a network cannot be used, and says so: inside jax's transformations, after a fork, in two threads at once; and how it warns."""

import contextlib
import copy
import os
import sys
import threading
import warnings
from pathlib import Path

import brainstate
import jax
import jax.numpy as jnp
from jax.core import Tracer

_NOT_THE_USERS = tuple(f"{folder}{os.sep}" for folder in (Path(__file__).parents[1], Path(brainstate.__file__).parent))
_used = False  # whether this process, or the one that it was forked from, has run jax for a network
_forked = False


def _mark_child():
    global _forked
    _forked = _used


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_mark_child)


def refuse_fork(what: str) -> None:
    """Raise in the child of a process that has used jax: its threads are not in the child, which would wait for them for ever."""
    global _used
    _used = True
    if _forked:
        raise RuntimeError(
            f"{what} in a process forked from one that had run a network: jax's threads do not survive a fork: "
            'start processes with multiprocessing.get_context("spawn")'
        )


def refuse_tracing(what: str, *values) -> None:
    """Raise inside jit (where new arrays are traced), and for values that are traced."""
    with transfers():
        inside = isinstance(jnp.zeros(()), Tracer)
    if inside or any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(values)):
        raise TypeError(f"{what} is not for jit, grad or vmap: build the network outside, and use net.step under brainstate.transform")


@contextlib.contextmanager
def one_thread(lock: threading.Lock, what: str):
    """Hold the lock, or raise if another thread holds it."""
    if not lock.acquire(blocking=False):
        raise RuntimeError(f"{what} while it runs in another thread: wait for that run, or build a network for each thread")
    try:
        yield
    finally:
        lock.release()


def transfers():
    """Copies between host and device are what is meant here, where jax's transfer guard forbids them to others."""
    return jax.transfer_guard("allow")


def warn(message: str) -> None:
    """Warn at the line of the user's own that led here: brainstate's metaclass may stand between it and us."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_NOT_THE_USERS):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, stacklevel=level)


def deep_copy(node, memo: dict):
    """A copy of a population or network, of all that it holds: brainstate's own shares with the original what is no state."""
    made = object.__new__(type(node))
    memo[id(node)] = made
    made.__setstate__(copy.deepcopy(node.__getstate__(), memo))
    return made
