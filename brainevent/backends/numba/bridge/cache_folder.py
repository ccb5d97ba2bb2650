"""Where compiled kernels are kept: folders that only the user and root can write, since what is read from them is run.

A parent that others can write does not matter: what they put in place of a folder is theirs, and each file is looked at once more
when it is open (`sealed_file`).
"""

import contextlib
import os
import shutil
import stat
import sys
import tempfile
import time
import warnings
from functools import cache
from pathlib import Path

from .fingerprint import DIGITS
from .sealed_file import distrust, user

__all__ = ["folder"]

_PACKAGE = "brainevent"
_MAX_AGE = 30 * 24 * 3600  # seconds since last used


@cache
def folder(kind, fingerprint):
    """The folder for kernels of this kind (a word) and fingerprint (20 hex digits), which now exists; None if there can be none.

    Folders beside it that nobody has used for a month are removed.
    """
    root = _root()
    if root is None:
        return None
    path = root / f"{kind}-{fingerprint}"
    try:
        refusal = _refusal(path)
    except OSError as error:
        refusal = str(error)
    if refusal:
        _warn(path, refusal, None)
        return None
    with contextlib.suppress(OSError):
        os.utime(path)
    _prune(root)
    return path


@cache
def _root():
    """The first folder that will do: BRAINEVENT_CACHE_DIR, the user's cache, a private one among the temporary files; None if none does.

    A folder that could be taken but must not be trusted is always warned of, one that cannot be written only if it was asked for.
    """
    refusals, found = [], None
    for candidate in (_asked_for, _users, _private):
        path = None
        try:
            path = candidate()
            refusal = _refusal(path) if path else None
        except OSError as error:
            refusal = str(error) if candidate is _asked_for else None
        else:
            found = path if refusal == "" else None
        if found:
            break
        if refusal:
            refusals.append((path or os.environ["BRAINEVENT_CACHE_DIR"], refusal))
    if not (found or refusals):
        refusals.append(("the user's cache and the temporary files", "they cannot be written; BRAINEVENT_CACHE_DIR names another folder"))
    for path, refusal in refusals:
        _warn(path, refusal, found)
    return found


def _warn(path, refusal, found):
    where = f"they are kept in {found}" if found else "each process compiles them anew, which takes seconds"
    warnings.warn(f"{path}, a place for compiled kernels, is not used: {refusal}. Instead {where}", stacklevel=3)


def _refusal(path):
    """Make a folder, unless it is there; why it must not be used, "" if it may. Raises OSError if it cannot be made or written."""
    _make(path)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode):
        return "it is a link or a file, expected a folder"
    if why := distrust(status, user()):
        return f"{why}, and what is kept there is run; it must be yours alone: chmod go-w, or another folder in BRAINEVENT_CACHE_DIR"
    with tempfile.TemporaryFile(dir=path):
        return ""


def _make(path):
    """Make a folder and those above it that are not there, for the user alone: `parents=True` would leave those to an open umask."""
    for each in reversed([each for each in (path, *path.parents) if not each.exists()]):
        with contextlib.suppress(FileExistsError):  # another process was faster, or a link that leads nowhere
            each.mkdir(mode=0o700)


def _asked_for():
    chosen = os.environ.get("BRAINEVENT_CACHE_DIR")
    return _expanded(chosen) if chosen else None


def _users():
    """The user's cache: on Linux XDG_CACHE_HOME, which the standard says to ignore if it is relative, else ~/.cache."""
    if sys.platform == "win32":
        return _expanded(os.environ.get("LOCALAPPDATA") or "~/AppData/Local") / _PACKAGE
    if sys.platform == "darwin":
        return _expanded("~/Library/Caches") / _PACKAGE
    xdg = os.environ.get("XDG_CACHE_HOME", "")
    return _expanded(xdg if os.path.isabs(xdg) else "~/.cache") / _PACKAGE


def _private():
    """A folder of the user's own among the temporary files, under a name that others know, and may have taken."""
    return _expanded(tempfile.gettempdir()) / f"{_PACKAGE}-{'user' if user() is None else user()}"


def _expanded(text):
    """A path without ~ and links; OSError if it needs a home and there is none (an empty HOME would mean the root of the disk)."""
    expanded = os.path.expanduser(text)
    home = os.environ.get("HOME", "/") if os.name != "nt" else "/"
    if text.startswith("~") and not (os.path.isabs(home) and os.path.isabs(expanded)):
        raise OSError(f"{text} needs a home, and HOME={home!r} is no absolute path")
    return Path(os.path.realpath(expanded))


def _prune(root):
    """Remove folders that nobody has used for a month."""
    for folder in root.glob(f"*-{'[0-9a-f]' * DIGITS}"):
        with contextlib.suppress(OSError):
            if folder.is_dir() and time.time() - folder.stat().st_mtime > _MAX_AGE:
                shutil.rmtree(folder, ignore_errors=True)
