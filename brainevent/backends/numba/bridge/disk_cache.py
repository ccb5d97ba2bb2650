"""Compiled handlers kept on disk: each a sealed file with the machine code of one source text, in a folder named after all else.

Numba would keep them itself, but in files without a digest: a damaged one crashes, or stays and fails for ever, and the source text that
it wants beside them would be run as it is found. Here the text that is run is always the one just written by this process.
"""

import contextlib
import hashlib
import pickle
import sys
import warnings
from functools import reduce
from types import ModuleType

from . import cache_folder, sealed_file
from .fingerprint import fingerprint

__all__ = ["compile_in_memory", "folder_of", "keeps", "load"]

_PACKAGE = "brainevent"


def keeps(kernel):
    """True if the handlers of this kernel can be kept on disk: it is found in a module of brainevent under its own name."""
    function = getattr(kernel, "py_func", kernel)
    if not function.__module__.startswith(_PACKAGE + "."):
        return False
    with contextlib.suppress(AttributeError):
        return reduce(getattr, function.__qualname__.split("."), sys.modules[function.__module__]) is kernel
    return False


def compile_in_memory(source, kernel):
    """Compile the handler of a source text for this process only, with `kernel` bound in it."""
    return _compiled(_executed(source, ModuleType("brainevent_handler"), kernel=kernel))


def load(source, module, name):
    """The compiled handler of a source text, whose kernel is in `module`: from disk if it is there, else compiled and kept."""
    stem = f"{name.replace('.', '_').replace('<', '').replace('>', '')}_{hashlib.sha256(source.encode()).hexdigest()[:16]}"
    scope = ModuleType(f"{_PACKAGE}_handler_{stem}")
    sys.modules[scope.__name__] = scope  # numba looks the module up by its name when it loads the machine code
    folder = folder_of(module)
    place = None if folder is None else _Place(folder / f"{stem}.handler", f"{folder.name}\n{source}".encode())
    return _compiled(_executed(source, scope), place)


def folder_of(module):
    """The folder of the handlers of kernels of `module`, which now exists; None if nothing can be kept."""
    return cache_folder.folder(module.rpartition(".")[2], fingerprint(module))


def _executed(source, scope, **bound):
    """The function `handle` of a source text, run in a module."""
    vars(scope).update(bound)
    exec(compile(source, f"<{scope.__name__}>", "exec"), vars(scope))
    return scope.handle


def _compiled(handle, place=None):
    """A function of one pointer that returns one, as machine code: that of `place` if it has any, else compiled now and put there."""
    from numba import types
    from numba.core.ccallback import CFunc

    handler = CFunc(handle, ((types.voidptr,), types.voidptr), locals={}, options={})
    if place is not None:
        handler._cache = place  # pyright: ignore[reportAttributeAccessIssue]
    handler.compile()
    return handler


class _Place:
    """Where numba looks for the machine code of one handler, and puts it: the two methods that it calls of a cache."""

    def __init__(self, path, identity):
        self.path, self.identity = path, identity

    def load_overload(self, signature, target_context):
        from numba.core.compiler import CompileResult

        target_context.refresh()
        try:
            payload = sealed_file.read(self.path, self.identity)
            return None if payload is None else CompileResult._rebuild(target_context, *pickle.loads(payload))
        except Exception as error:  # whatever is wrong with the file, the source is at hand
            with contextlib.suppress(OSError):
                self.path.unlink()
            _warn_of_damage(self.path.parent.parent, error)
            return None

    def save_overload(self, signature, result):
        from numba.core.serialize import dumps

        if result.library.has_dynamic_globals:  # it holds addresses of this process
            return
        payload = dumps(result._reduce())
        with contextlib.suppress(OSError):  # no room, no permission: the disk is a convenience
            sealed_file.write(self.path, self.identity, payload)


_damaged = set()  # folders that were warned of: once a process, for if a disk is damaged every file may be


def _warn_of_damage(root, error):
    if root not in _damaged:
        _damaged.add(root)
        why = f"{type(error).__name__}: {error}"
        warnings.warn(f"compiled kernels in {root} are damaged, and are compiled anew ({why}); the folder may be deleted", stacklevel=3)
