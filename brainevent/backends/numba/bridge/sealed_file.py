"""Files that are believed only if they are whole, about what is asked, and nobody else's: what is read from them is run."""

import hashlib
import os
import stat
import tempfile
from pathlib import Path

__all__ = ["Damaged", "distrust", "read", "user", "write"]

_DIGEST_BYTES = hashlib.sha256().digest_size
_FLAGS = ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY")  # no link is followed, no pipe waited for; where the system has them


class Damaged(Exception):
    """A file is there and must not be used; the text says why."""


def user():
    """The number of the user this process runs as; None where files have no such owners."""
    return os.getuid() if hasattr(os, "getuid") else None


def distrust(status, uid):
    """Why a file or folder with this `os.stat_result` may have been written by another than the user `uid` or root; "" if it cannot."""
    if uid is None:
        return ""
    if status.st_uid not in (uid, 0):
        return f"it belongs to the user with number {status.st_uid}"
    return f"others can write to it (mode {stat.S_IMODE(status.st_mode):03o})" if status.st_mode & 0o022 else ""


def read(path, identity):
    """What `write` put into a file for this identity, a bytes; None if there is no file. Raises `Damaged` for any other file."""
    try:
        with open(path, "rb", opener=_open) as file:
            status = os.fstat(file.fileno())
            why = "it is no regular file" if not stat.S_ISREG(status.st_mode) else distrust(status, user())
            content = b"" if why else file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Damaged(str(error)) from error
    digest, payload = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    if not why and digest != _digest(identity, payload):
        why = "it is not as it was written"
    if why:
        raise Damaged(why)
    return payload


def write(path, identity, payload):
    """Put a bytes into a file, whole or not at all, after a digest of it and of what it is about. Raises OSError if it cannot."""
    path = Path(path)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.stem, suffix=".tmp", delete=False) as file:
        try:
            file.write(_digest(identity, payload) + payload)
            file.flush()
            os.fsync(file.fileno())  # before the name is given: a crash of the machine must not leave the name and no content
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


def _open(path, flags):
    for name in _FLAGS:
        flags |= getattr(os, name, 0)
    return os.open(path, flags)


def _digest(identity, payload):
    return hashlib.sha256(hashlib.sha256(identity).digest() + payload).digest()
