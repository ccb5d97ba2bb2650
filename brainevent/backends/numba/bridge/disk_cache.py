"""Compiled handlers kept on disk: generated source in a directory named after everything the machine code depends on.

Numba keeps machine code only for functions in files, and looks only at the file of that function to see whether it is stale; so the
directory's name is a hash of the sources of the kernel's module and of all of brainevent that it imports.
"""

import ast
import contextlib
import hashlib
import importlib.util
import os
import pickle
import platform
import shutil
import stat
import sys
import tempfile
import time
import warnings
from functools import cache, reduce
from pathlib import Path

import jaxlib.version
import numpy as np

__all__ = ["compile_in_memory", "directory", "keeps", "load"]

_PACKAGE = "brainevent"
_BRIDGE = tuple(f"brainevent.backends.numba.bridge.{name}" for name in ("abi", "call_frame", "disk_cache", "ffi", "intrinsics"))
_STAMP = 1_000_000_000  # modification time of every generated file: two processes may both write one, and numba compares times
_DIGITS = 20
_MAX_AGE = 30 * 24 * 3600  # seconds since last used


def keeps(kernel):
    """True if the handlers of this kernel can be kept on disk: it is found in a module of brainevent under its own name."""
    function = getattr(kernel, "py_func", kernel)
    if not function.__module__.startswith(_PACKAGE + "."):
        return False
    with contextlib.suppress(AttributeError):
        return reduce(getattr, function.__qualname__.split("."), sys.modules[function.__module__]) is kernel
    return False


def compile_in_memory(source, kernel=None):
    """Compile the handler of a source text for this process only, with `kernel` bound in it."""
    scope = {"kernel": kernel} if kernel is not None else {}
    exec(compile(source, "<brainevent handler>", "exec"), scope)
    return _cfunc(scope["handle"], on_disk=False)


def load(source, module, name):
    """The compiled handler of a source text, whose kernel is in `module`: from disk if it is there, else compiled and kept."""
    try:
        path = _write(source, directory(module), name)
        try:
            return _cfunc(_imported(path).handle, on_disk=True)
        except (EOFError, pickle.UnpicklingError):  # cut short by a crash: start again
            for file in (path.parent / "__pycache__").glob(f"{path.stem}.*.nb[ic]"):
                file.unlink(missing_ok=True)
            return _cfunc(_imported(path).handle, on_disk=True)
    except (OSError, RuntimeError):  # no room, no permission, numba finds no place: the disk is a convenience
        return compile_in_memory(source)


def _cfunc(handle, on_disk):
    from numba import cfunc, types

    return cfunc(types.voidptr(types.voidptr), cache=on_disk)(handle)


def _write(source, folder, name):
    """Write a source text to a file named after its content, unless it is there."""
    digest = hashlib.sha256(source.encode()).hexdigest()[:16]
    path = folder / f"{name.replace('.', '_').replace('<', '').replace('>', '')}_{digest}.py"
    if not path.exists():
        with tempfile.NamedTemporaryFile("w", dir=folder, suffix=".tmp", delete=False) as file:
            file.write(source)
        os.utime(file.name, (_STAMP, _STAMP))
        os.replace(file.name, path)
    return path


def _imported(path):
    """Import a generated file. Numba looks the module up by its name when it loads the machine code."""
    name = f"brainevent_handler_{path.stem}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@cache
def directory(module):
    """The directory, which now exists, of the handlers of kernels of `module`; old ones beside it are removed."""
    root = _root()
    folder = root / f"{module.rpartition('.')[2]}-{_fingerprint(module)}"
    folder.mkdir(parents=True, exist_ok=True)
    os.utime(folder)
    _prune(root)
    return folder


@cache
def _root():
    """The first directory that can be written: BRAINEVENT_CACHE_DIR, the user's cache, a private one among the temporary files."""
    chosen = os.environ.get("BRAINEVENT_CACHE_DIR")
    if chosen and _can_write(Path(chosen).expanduser()):
        return Path(chosen).expanduser()
    found = next(filter(_can_write, (_user_cache(), _private())), None) or Path(tempfile.mkdtemp(prefix=f"{_PACKAGE}-"))
    if chosen:
        warnings.warn(f"BRAINEVENT_CACHE_DIR={chosen} cannot be written; compiled kernels are kept in {found}", stacklevel=2)
    return found


def _can_write(path):
    """Make a directory, unless it is there; True if files can be made in it."""
    with contextlib.suppress(OSError):
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=path):
            return True
    return False


def _user_cache():
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", tempfile.gettempdir())) / _PACKAGE
    home = os.path.expanduser("~/Library/Caches" if sys.platform == "darwin" else "~/.cache")
    return Path(os.environ.get("XDG_CACHE_HOME") or home) / _PACKAGE


def _private():
    """A directory among the temporary files that is ours alone, since what is loaded from it is run."""
    path = Path(tempfile.gettempdir()) / f"{_PACKAGE}-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
    with contextlib.suppress(OSError):
        path.mkdir(mode=0o700, exist_ok=True)
        status = path.lstat()
        if stat.S_ISDIR(status.st_mode) and (sys.platform == "win32" or (status.st_uid == os.getuid() and not status.st_mode & 0o077)):
            return path
    return Path(tempfile.mkdtemp(prefix=f"{_PACKAGE}-"))


def _prune(root):
    """Remove directories that nobody has used for a month."""
    for folder in root.glob(f"*-{'[0-9a-f]' * _DIGITS}"):
        with contextlib.suppress(OSError):
            if folder.is_dir() and time.time() - folder.stat().st_mtime > _MAX_AGE:
                shutil.rmtree(folder, ignore_errors=True)


def _fingerprint(module):
    """Hash of the sources that the code of `module` may depend on, and of the versions, the processor and numba's settings."""
    import llvmlite.binding
    import numba

    sources = sorted(_sources(module, *_BRIDGE).items())
    settings = sorted((key, value) for key, value in os.environ.items() if key.startswith("NUMBA_"))
    processor = llvmlite.binding.get_host_cpu_name(), platform.machine()
    versions = numba.__version__, llvmlite.__version__, jaxlib.version.__version__, np.__version__, sys.version
    return hashlib.sha256(repr((sources, settings, processor, versions)).encode()).hexdigest()[:_DIGITS]


def _sources(*modules):
    """{module: hash of its source} for these modules and all of brainevent that they import, directly or not."""
    found, waiting = {}, list(modules)
    while waiting:
        module = waiting.pop()
        if module in found or (path := _file_of(module)) is None:
            continue
        text = path.read_bytes()
        found[module] = hashlib.sha256(text).hexdigest()
        waiting += _imports(text, module, path.name == "__init__.py")
    return found


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
