"""The kernel table: which function runs an operation for a format, a platform and a backend, and why.

A kernel is registered under (operation, format class, platform, backend) and found along the class's MRO. An explicit request
(`backend("xla")`, `A.with_backend("xla")`) is served or refused with an error, never replaced; the automatic choice walks
`BACKENDS` and may fall back, and `explain` says what it took and why.
"""

import contextlib
import dataclasses
import functools
import importlib
import threading
from collections.abc import Callable
from typing import Any

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.xla_metadata import set_xla_metadata

OPERATIONS = ("propagate", "correlate")  # what users can ask about; the in-place operations of a network stand in the same table
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
BACKENDS = {  # name: the platforms it serves, the first that serves one being the automatic choice there; its folder is `backends/name`
    "triton": ("cuda",),
    "numba": ("cpu",),
    "xla": PLATFORMS,
}


class BackendError(RuntimeError):
    """A backend that was asked for by name cannot serve.

    >>> import brainevent as be, jax.numpy as jnp
    >>> try:
    ...     be.EventArray(jnp.ones(3, bool)) @ be.CSR.fromdense(jnp.eye(3, dtype=jnp.float16), backend="numba")
    ... except be.BackendError as error:
    ...     print(error)
    propagate on CSR (float16 weights, cpu): numba has no kernel for float16 weights; leave the backend out ...
    """


@dataclasses.dataclass(frozen=True)
class Kernel:
    """One row of the table: the function, and the weight dtypes it takes (None: all)."""

    run: Callable
    platform: str
    dtypes: tuple[str, ...] | None = None
    event_driven: bool = False  # whether a product costs the active lines only, where the operand stands on the lines of the format
    lists: bool = False  # whether it takes spikes as `core.spikes.Listed` too
    several: Callable | None = None  # makes many deliveries of its kind in one call: `several(targets, deliveries) -> (targets, counts)`


@dataclasses.dataclass(frozen=True)
class Choice:
    """What was chosen for one operation on one format, and why; prints as a short report."""

    operation: str
    format: str
    platform: str
    dtype: str
    backend: str
    reason: str
    kernel: Kernel = dataclasses.field(repr=False)
    cost: str = ""  # what a product costs, in either direction

    @property
    def run(self) -> Callable:
        return self.kernel.run

    def __str__(self):
        where = f"{self.kernel.run.__module__}.{self.kernel.run.__qualname__}"
        head = f"{self.operation} on {self.format}[{self.dtype}], {self.platform}: backend {self.backend!r} ({where})"
        return "\n  ".join(filter(None, (head, self.reason, self.cost)))

    __repr__ = __str__


_TABLE: dict[tuple[str, type, str, str], Kernel] = {}


def kernel(operation: str, cls: type, *, backend: str, platform: str = "any", **options):
    """Register the decorated function as the kernel of `operation` for `cls` and its subclasses; see `Kernel` for the options."""

    def register(run):
        _TABLE[operation, cls, platform, backend] = Kernel(run, platform, **options)
        return run

    return register


class _Request(threading.local):
    stack: tuple[str, ...] = ()


_request = _Request()


@contextlib.contextmanager
def backend(name: str):
    """Ask for one backend by name for everything traced or run inside the `with` block.

    Functions that are already compiled are traced again under the request, so it reaches them too. A per-object request
    (`A.with_backend(name)`) goes before this one.

    Args:
      name: "xla" (any platform) or "numba" (CPU).

    Raises:
      ValueError: the name is not a backend.
      BackendError: at trace time, if the backend cannot serve an operation.

    >>> import brainevent as be, jax.numpy as jnp
    >>> A = be.CSR.fromdense(jnp.eye(3))
    >>> with be.backend("xla"):
    ...     print(be.EventArray(jnp.array([True, False, True])) @ A)
    [1. 0. 1.]
    """
    check_backend(name)
    before = _request.stack
    _request.stack = (*before, name)
    try:
        with set_xla_metadata(brainevent_backend=name):  # part of jax's trace key: compiled functions see the switch
            yield
    finally:
        _request.stack = before


def check_backend(name: str | None) -> str | None:
    """Return the name if it is a known backend or None, else raise."""
    if name is not None and (not isinstance(name, str) or name not in BACKENDS):
        raise ValueError(f"unknown backend {name!r}: expected one of {sorted(BACKENDS)}")
    return name


def requested(A=None) -> str | None:
    """The backend asked for by name: by the object first, then by the innermost `backend(...)` block."""
    return getattr(A, "backend", None) or (_request.stack[-1] if _request.stack else None)


def current_platform() -> str:
    """The platform that computations go to by default: "cpu", "cuda", "rocm" or "tpu"."""
    device = jax.config.jax_default_device  # pyright: ignore[reportAttributeAccessIssue]  # a device, a platform, or None
    return str(jax.default_backend() if device is None else getattr(device, "platform", device)).replace("gpu", "cuda")


def is_scalar(w) -> bool:
    """Whether `w` is one weight for all synapses: shape () or (1,)."""
    return w.shape in ((), (1,))


@functools.cache
def _load(name: str) -> str | None:
    """Import what a backend lists in `REQUIRES` and `KERNELS`; the reason if that is impossible, else None."""
    folder = f"brainevent.backends.{name}"
    try:
        package = importlib.import_module(folder)
        for module in package.REQUIRES:
            _require(module)
        for module in package.KERNELS:
            importlib.import_module(f"{folder}.{module}")
    except ImportError as error:
        return f"{name} cannot be imported ({error})"
    return None


def _require(module: str) -> None:
    """Import a module that is not ours; whatever it raises is an ImportError: one that is there and broken is as good as none."""
    try:
        importlib.import_module(module)
    except ImportError:
        raise
    except Exception as error:
        raise ImportError(f"{module} raised {type(error).__name__}: {error}") from error


def _find(operation, cls, platform, name, dtype) -> tuple[Kernel | None, str]:
    """The kernel of one backend, or None and why there is none."""
    refusal = _load(name)
    if refusal:
        return None, refusal
    for c in cls.__mro__:
        for p in (platform, "any"):
            row = _TABLE.get((operation, c, p, name))
            if row is not None and row.dtypes is not None and str(dtype) not in row.dtypes:
                return None, f"{name} has no kernel for {dtype} weights"
            if row is not None:
                return row, f"{name} has a kernel for {c.__name__}"
    return None, f"{name} has no {operation} kernel for {cls.__name__} on {platform}"


def choose(operation: str, cls: type, platform: str, request: str | None, dtype) -> Choice:
    """The kernel for an operation on a format class; raises `BackendError` if a requested backend cannot serve."""
    said = []
    for name in (request,) if request else (name for name, platforms in BACKENDS.items() if platform in platforms):
        found, why = _find(operation, cls, platform, name, np.dtype(dtype))
        said.append(why)
        if found is not None:
            reason = "; ".join(said) + (f"; asked for by name ({request})" if request else "; automatic choice")
            return Choice(operation, cls.__name__, platform, str(np.dtype(dtype)), name, reason, found)
    remedy = "leave the backend out for the automatic choice, or ask for 'xla', which serves everything"
    raise BackendError(f"{operation} on {cls.__name__} ({dtype} weights, {platform}): {'; '.join(said)}; {remedy}")


def choice(operation: str, A=None, dtype: Any = np.float32, backend: str | None = None) -> Choice:
    """The choice for an operation of a network on A, or on arrays alone, where it runs now; `backend` goes before what was asked for."""
    return choose(operation, type(A) if A is not None else object, current_platform(), backend or requested(A), dtype)


def chosen(operation: str, A=None, dtype: Any = np.float32, backend: str | None = None) -> Callable:
    """The function of that choice."""
    return choice(operation, A, dtype, backend).run


def serves(operation: str, dtype: Any = np.float32) -> bool:
    """Whether there is one."""
    try:
        choice(operation, dtype=dtype)
    except BackendError:
        return False
    return True


def explain(operation: str, A, *, platform: str | None = None) -> Choice:
    """Which kernel an operation on a connectivity takes, on which backend, and why.

    Args:
      operation: "propagate" (the products `x @ A` and `A @ x`) or "correlate" (the pull-back to the weights).
      A: a connectivity of any format.
      platform: "cpu", "cuda", "rocm" or "tpu"; the default device's platform if left out.

    Raises:
      TypeError: A is no connectivity. ValueError: no such operation or platform.
      BackendError: a backend was asked for by name and cannot serve.

    >>> import brainevent as be, jax.numpy as jnp
    >>> A = be.CSR.fromdense(jnp.eye(3)).with_backend("xla")
    >>> be.explain("propagate", A).backend
    'xla'
    """
    if not isinstance(A, u.sparse.SparseMatrix):
        raise TypeError(f"explain takes an operation and a connectivity, got {type(A).__name__}: wrap a matrix as brainevent.Dense(matrix)")
    if operation not in OPERATIONS:
        raise ValueError(f"unknown operation {operation!r}: expected one of {OPERATIONS}")
    platform = platform or current_platform()
    if platform not in PLATFORMS:
        raise ValueError(f"unknown platform {platform!r}: expected one of {PLATFORMS}")
    dtype = jnp.result_type(float) if A.data is None else A.dtype
    choice = choose(operation, type(A), platform, requested(A), dtype)
    about, _ = _find("about", type(A), platform, choice.backend, dtype)  # what a backend has to say of itself: its threads
    choice = dataclasses.replace(choice, reason=f"{choice.reason}; {about.run()}") if about else choice
    return dataclasses.replace(choice, cost=_cost(choice.kernel, A)) if operation == "propagate" else choice


def _cost(kernel: Kernel, A) -> str:
    """What the products of a matrix cost, as far as the format's lines decide it."""
    if not kernel.event_driven:
        return ""
    driven, other = ("spikes @ A", "A @ spikes")[:: -1 if A.major else 1]
    return f"{driven} costs the synapses of the {('rows', 'columns')[A.major]} that spiked; {other} walks every synapse"
