"""Interpreters that have a peer: one that is there already, or an environment of its own that is made for it."""

import os
import subprocess
import sys
import venv
from pathlib import Path

NEEDS = {"brian2": ("brian2==2.9.*", "numpy<2.3", "setuptools<81"), "nest": ("nest-simulator",)}  # module: what pip is asked for


def python_with(module: str, *, make: bool = True) -> str | None:
    """An interpreter that can import a peer.

    `BRIAN2_PYTHON` or `NEST_PYTHON` if it is set, else this one, else one of an environment under `~/.cache/brainevent-peers`
    (`XDG_CACHE_HOME`), which is made if there is none.

    Args:
      module: of `NEEDS`.
      make: whether to make an environment.

    Returns:
      Its path, or None, and then it was said why.
    """
    own = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "brainevent-peers" / module
    there = own / "bin" / "python"
    for candidate in (os.environ.get(f"{module.upper()}_PYTHON"), sys.executable, str(there)):
        if candidate and _imports(candidate, module):
            return candidate
    if not make:
        return None
    print(f"installing {module} into {own} ...", file=sys.stderr, flush=True)
    try:
        venv.create(own, with_pip=True, clear=True)
        subprocess.run([there, "-m", "pip", "install", "--quiet", *NEEDS[module]], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1:]
        print(f"{module} cannot be installed: {' '.join(said)}", file=sys.stderr, flush=True)
        return None
    return str(there) if _imports(str(there), module) else None


def _imports(python: str, module: str) -> bool:
    return Path(python).exists() and subprocess.run([python, "-c", f"import {module}"], capture_output=True, check=False).returncode == 0
