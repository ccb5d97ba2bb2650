"""Functions made of a text, for kernels that depend on what a user wrote."""

import hashlib
import math
from typing import Any

import numpy as np

from ..bridge.inner import njit

__all__ = ["function_of", "named"]


def function_of(text: str, name: str, **scope) -> Any:
    """The function of a name that a text defines, for other machine code to call; `scope` has what it uses beside `np` and `math`."""
    names: dict[str, Any] = {"np": np, "math": math, **scope}
    exec(text, names)
    return njit(named(names[name], text), error_model="numpy")


def named(function, text: str):
    """The function under a name that belongs to the text: machine code from disk is linked by name, in whatever process it was made."""
    function.__qualname__ = f"{function.__qualname__}_{hashlib.sha256(text.encode()).hexdigest()[:24]}"
    return function
