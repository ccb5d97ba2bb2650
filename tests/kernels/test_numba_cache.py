"""Handlers on disk, seen from other processes: the second compiles nothing, a changed source compiles again, a bad directory is survived.

A copy of brainevent with two small kernel modules of its own is what those processes import.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import brainevent
from brainevent.backends.numba.bridge import disk_cache

PROBE = """
from numba import njit, prange
from brainevent.backends.numba.kernels import probe_factor

def scaled(x, weight, out):
    for i in range(x.shape[0]):
        out[i] = probe_factor.times(x[i]) if weight is None else weight[i]
    return 0

@njit(parallel=True, error_model="numpy")
def doubled(x, out):
    for i in prange(x.shape[0]):
        out[i] = 2 * x[i]
    return 0
"""

FACTOR = """
from numba import njit

@njit
def times(x):
    return {} * x
"""

SCRIPT = """
import sys, time, json
import jax, jax.numpy as jnp
from brainevent.backends.numba.bridge import ffi
lazy = "numba" not in sys.modules
import numba
from numba.core import registry
from brainevent.backends.numba.bridge import call_frame
from brainevent.backends.numba.kernels import probe

assert probe.__file__.startswith(sys.argv[1]), probe.__file__
registry.cpu_target.target_context.refresh()  # numba's own start, 0.3 s, is not the handler's
inferred = []
compile_ir = numba.core.compiler.Compiler.compile_extra
numba.core.compiler.Compiler.compile_extra = lambda self, f: (inferred.append(f.__name__), compile_ir(self, f))[1]
out, x, times = jax.ShapeDtypeStruct((20_000,), jnp.float32), jnp.arange(20_000.0), []

def loop(kernel, *operands):  # two handlers in a step that XLA may run at once, in its own threads
    def step(carry, _):
        a, b = (ffi.call(kernel, out, x, *operands) for x in carry)
        return (a / 2, b / 2), a[3] + b[5]
    return jax.jit(lambda: jax.lax.scan(step, (x, x + 1), None, length=50)[1])()

for kernel, operands in ((probe.scaled, (None,)), (probe.scaled, (x,)), (probe.doubled, ())):
    signature = tuple(None if o is None else "float32:1" for o in (x, *operands))
    start = time.perf_counter()
    ffi._target(kernel, signature, ("float32:1",))
    times.append(time.perf_counter() - start)
scaled = float(ffi.call(probe.scaled, out, x, None)[7])
assert loop(probe.doubled)[-1] == 2 * (3 + 6)
hits = [handler.cache_hits if hasattr(handler, "cache_hits") else 0 for handler in ffi._handlers.values()]
print(json.dumps(dict(lazy=lazy, hits=hits, times=times, scaled=scaled, inferred=inferred, threads=ffi.threads())))
"""


def start(root, cache, **environment):
    environment = {"PYTHONPATH": str(root), "BRAINEVENT_CACHE_DIR": str(cache), "NUMBA_NUM_THREADS": "2", **environment}
    command = [sys.executable, "-c", SCRIPT, str(root)]
    return subprocess.Popen(command, cwd=root, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def result(process):
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return json.loads(out), err


def test_handlers_are_kept_between_processes(tmp_path):
    root, cache = tmp_path / "copy", tmp_path / "cache"
    shutil.copytree(Path(brainevent.__file__).parent, root / "brainevent", ignore=shutil.ignore_patterns("__pycache__"))
    kernels = root / "brainevent" / "backends" / "numba" / "kernels"
    (kernels / "probe.py").write_text(PROBE)
    (kernels / "probe_factor.py").write_text(FACTOR.format(3))

    both = start(root, cache), start(root, cache)
    for got, _ in map(result, both):  # two at once, nothing on disk
        assert got["lazy"] and got["scaled"] == 21 and "scaled" in got["inferred"]

    got, _ = result(start(root, cache))
    assert got["hits"] == [1, 1, 1] and got["scaled"] == 21 and got["inferred"] == []
    assert got["threads"][0] == 2 or "workqueue" in got["threads"][1]
    assert sorted(got["times"])[1] < 0.05  # 5 ms here

    (kernels / "probe_factor.py").write_text(FACTOR.format(5))  # only a module that the kernel's module imports
    for broken in cache.glob("*/__pycache__/*.nbc"):
        broken.write_bytes(broken.read_bytes()[:100])
    got, _ = result(start(root, cache))
    assert got["hits"] == [0, 0, 0] and got["scaled"] == 35

    (kernels / "probe_factor.py").write_text(FACTOR.format(3))  # the first directory again, its files cut short
    got, _ = result(start(root, cache))
    assert got["scaled"] == 21 and "scaled" in got["inferred"]

    (tmp_path / "file").touch()
    nowhere = {"HOME": str(tmp_path / "file"), "XDG_CACHE_HOME": "", "TMPDIR": str(tmp_path), "NUMBA_THREADING_LAYER": "workqueue"}
    got, err = result(start(root, tmp_path / "file", **nowhere))
    assert got["threads"][0] == 1 and "workqueue is not safe" in got["threads"][1]  # yet the parallel kernel has run, in one thread
    assert got["scaled"] == 21
    assert "cannot be written" in err and list(tmp_path.glob("brainevent-*/probe-*/*.py"))


def test_sources_are_followed_through_imports():
    bridge = "brainevent.backends.numba.bridge"
    assert {f"{bridge}.{name}" for name in ("ffi", "disk_cache", "call_frame")} <= set(disk_cache._sources(f"{bridge}.ffi"))
    names = set(
        disk_cache._imports(b"from . import a\nfrom ...core.law import b\nimport brainevent.events, os\n", "brainevent.x.y.z", False)
    )
    assert names >= {"brainevent.x.y.a", "brainevent.core.law", "brainevent.events"} and "os" not in names


@pytest.mark.parametrize("name, age, gone", [("old-" + "a" * 20, 31, True), ("new-" + "b" * 20, 29, False), ("mine", 99, False)])
def test_prune(tmp_path, name, age, gone):
    folder = tmp_path / name
    folder.mkdir()
    stamp = folder.stat().st_mtime - age * 24 * 3600
    os.utime(folder, (stamp, stamp))
    disk_cache._prune(tmp_path)
    assert folder.exists() is not gone
