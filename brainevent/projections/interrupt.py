"""Ctrl-C during a run: noted, and heeded where nothing is lost."""

import contextlib
import signal
import threading


@contextlib.contextmanager
def ctrl_c():
    """Collect Ctrl-C in the list that is yielded: the device may hold the only copy of a state, so a chunk ends before a run does.

    Pressed again, it interrupts at once. Outside the main thread, where Python delivers no signals, the list stays empty.
    """
    pressed: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield pressed
        return

    def note(number, frame):
        pressed.append(number)
        if len(pressed) > 1:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, note)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)
