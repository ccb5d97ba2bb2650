"""Ctrl-C during a run: noted, and heeded where nothing is lost."""

import contextlib
import signal
import sys
import threading

from tqdm import tqdm


def say(text: str) -> None:
    """A line on stderr, above a progress bar if there is one."""
    tqdm.write(text, file=sys.stderr)


class Presses:
    """How often Ctrl-C was pressed. The handler may raise inside a callback of the compiler, which swallows it: `heed` raises again."""

    def __init__(self):
        self.count = 0

    def note(self, number, frame):
        """The signal handler."""
        self.count += 1
        if self.count == 1:
            say("stopping after this chunk; Ctrl-C again to stop at once")
        self.heed()

    def heed(self):
        """Raise if Ctrl-C was pressed more than once."""
        if self.count > 1:
            raise KeyboardInterrupt

    def __bool__(self):
        return self.count > 0


@contextlib.contextmanager
def ctrl_c():
    """Count Ctrl-C in the `Presses` that is yielded: the device may hold the only copy of a state, so a chunk ends before a run does.

    Pressed again, it interrupts at once. Outside the main thread, where Python delivers no signals, nothing is counted.
    """
    presses = Presses()
    if threading.current_thread() is not threading.main_thread():
        yield presses
        return
    before = signal.signal(signal.SIGINT, presses.note)
    try:
        yield presses
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)
