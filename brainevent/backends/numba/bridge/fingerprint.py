"""What the machine code of a kernel depends on, as one name: sources, versions, the processor, numba's settings."""

import ast
import hashlib
import importlib.util
import os
import sys
from functools import cache
from pathlib import Path

import jaxlib.version
import numpy as np

__all__ = ["DIGITS", "fingerprint"]

_PACKAGE = "brainevent"
_BRIDGE = tuple(
    f"{_PACKAGE}.backends.numba.bridge.{name}" for name in ("abi", "call_frame", "disk_cache", "ffi", "intrinsics", "job_frame")
)
DIGITS = 20


@cache
def fingerprint(module):
    """20 hex digits that change with whatever the code of kernels of `module` is compiled from, with and for."""
    import llvmlite
    import numba
    from numba.core.registry import cpu_target

    sources = sorted(_sources(module, *_BRIDGE).items())
    settings = sorted((key, value) for key, value in os.environ.items() if key.startswith("NUMBA_"))
    processor = cpu_target.target_context.codegen().magic_tuple()  # pyright: ignore  (its name and features: a machine may hide some)
    versions = numba.__version__, llvmlite.__version__, jaxlib.version.__version__, np.__version__, sys.version
    return hashlib.sha256(repr((sources, settings, processor, versions)).encode()).hexdigest()[:DIGITS]


def _sources(*modules):
    """{module: hash of its source} for these modules and all of brainevent that they import, directly or not."""
    found, waiting = {}, list(modules)
    while waiting:
        module = waiting.pop()
        if module in found or (path := _file_of(module)) is None:
            continue
        found[module], names = _read(module, path)
        waiting += names
    return found


@cache
def _read(module, path):
    """The hash of a source, and what it imports: read once, however many kernels depend on it."""
    text = path.read_bytes()
    return hashlib.sha256(text).hexdigest(), tuple(_imports(text, module, path.name == "__init__.py"))


@cache
def _file_of(module):
    """The source file of a module of brainevent, found without importing it; None for a name that is no module."""
    base = Path(__file__).parents[3].joinpath(*module.split(".")[1:])
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


def _imports(text, module, is_package):
    """Names in brainevent that a source text imports: modules, and, where it says `from a import b`, both a and a.b."""
    package = module if is_package else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package) if node.level else node.module or ""
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] == _PACKAGE)
