"""Putting a network together: operations on arrays of the host, which are changed in place."""

import numpy as np

from . import table


def ascend_in_lines(starts: np.ndarray, ids: np.ndarray) -> None:
    """Sort the ids of every line.

    Args:
      starts: int64 (lines + 1,), where each line starts. ids: integers of at least 0, (nse,).
    """
    _on_host("ascend_in_lines", np.float32)(starts, ids)


def sort_lines(starts: np.ndarray, keys: np.ndarray, ids: np.ndarray, *, weights=None, places=None, ties: bool = False) -> None:
    """Sort the synapses of every line by a key, stable.

    Args:
      starts: int64 (lines + 1,), where each line starts.
      keys: uint8 or uint16 (nse,). ids: signed integers (nse,). weights: floats (nse,), or None. places: int64 (nse,), or None.
      ties: whether to sort, before, the keys of synapses that stand next to each other in a line and have one id.
    """
    weights = np.empty(0, np.float32) if weights is None else weights
    places = np.empty(0, np.int64) if places is None else places
    weights = weights.view(np.uint16) if weights.dtype == np.float16 else weights  # they are only moved
    _on_host("sort_lines", np.float32)(starts, keys, ids, weights, places, ties)


def _on_host(operation: str, dtype):
    """A kernel of the backend that is asked for by name, unless that serves no CPU: then whatever serves it."""
    name = table.requested()
    serves = name is None or "cpu" in table.BACKENDS[name]
    return table.choose(operation, object, "cpu", name if serves else None, dtype).run
