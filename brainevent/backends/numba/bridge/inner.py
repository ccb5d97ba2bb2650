"""`njit` and `overload` for what machine code alone calls: without the wrappers by which Python would, a fifth less to compile.

Such a function must not be called from Python: there is nothing at the address that Python has.
"""

import functools
from typing import Any

import numba
import numba.extending

__all__ = ["njit", "overload"]

_WITHOUT_WRAPPERS: Any = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}

njit: Any = functools.partial(numba.njit, **_WITHOUT_WRAPPERS)
overload: Any = functools.partial(numba.extending.overload, jit_options=_WITHOUT_WRAPPERS)
