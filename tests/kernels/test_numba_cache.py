"""Handlers on disk, seen from other processes: the second compiles nothing, a changed source compiles again; what is damaged, or may have
been written by others, is never run."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from tables import needs_numba

import brainevent
from brainevent.backends.numba.bridge import cache_folder, fingerprint, sealed_file

pytestmark = needs_numba

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


@pytest.mark.thorough
def test_handlers_are_kept_between_processes(tmp_path):
    """The processes import a copy of brainevent with two small kernel modules of its own."""
    root, cache = tmp_path / "copy", tmp_path / "cache"
    shutil.copytree(Path(brainevent.__file__).parent, root / "brainevent", ignore=shutil.ignore_patterns("__pycache__"))
    kernels = root / "brainevent" / "backends" / "numba" / "kernels"
    (kernels / "probe.py").write_text(PROBE)
    (kernels / "probe_factor.py").write_text(FACTOR.format(3))

    both = [got for got, _ in map(result, (start(root, cache), start(root, cache)))]  # two at once, nothing on disk
    assert all(got["lazy"] and got["scaled"] == 21 for got in both)
    assert any("scaled" in got["inferred"] for got in both)  # the one that is later may find what the other has made

    got, _ = result(start(root, cache))
    assert got["hits"] == [1, 1, 1] and got["scaled"] == 21 and got["inferred"] == []
    assert got["threads"][0] == 2 or "workqueue" in got["threads"][1]
    assert sorted(got["times"])[1] < 0.05  # 5 ms here

    (kernels / "probe_factor.py").write_text(FACTOR.format(5))  # only a module that the kernel's module imports
    broken = list(cache.glob("*/*.handler"))
    assert len(broken) == 3
    for file in broken:
        file.write_bytes(file.read_bytes()[:100])
    got, _ = result(start(root, cache))
    assert got["hits"] == [0, 0, 0] and got["scaled"] == 35

    (kernels / "probe_factor.py").write_text(FACTOR.format(3))  # the first directory again, its files cut short
    got, err = result(start(root, cache))
    assert got["scaled"] == 21 and "scaled" in got["inferred"]
    assert err.count("are damaged, and are compiled anew") == 1 and str(cache) in err  # of three files
    got, err = result(start(root, cache))
    assert got["hits"] == [1, 1, 1] and "damaged" not in err

    (tmp_path / "file").touch()
    nowhere = {"HOME": str(tmp_path / "file"), "XDG_CACHE_HOME": "", "TMPDIR": str(tmp_path), "NUMBA_THREADING_LAYER": "workqueue"}
    got, err = result(start(root, tmp_path / "file", **nowhere))
    assert got["threads"][0] == 1 and "workqueue is not safe" in got["threads"][1]  # yet the parallel kernel has run, in one thread
    assert got["scaled"] == 21
    assert "file, a place for compiled kernels, is not used" in err and list(tmp_path.glob("brainevent-*/probe-*/*.handler"))


def test_sources_are_followed_through_imports():
    bridge = "brainevent.backends.numba.bridge"
    assert {f"{bridge}.{name}" for name in ("ffi", "disk_cache", "call_frame")} <= set(fingerprint._sources(f"{bridge}.ffi"))
    names = set(
        fingerprint._imports(b"from . import a\nfrom ...core.law import b\nimport brainevent.events, os\n", "brainevent.x.y.z", False)
    )
    assert names >= {"brainevent.x.y.a", "brainevent.core.law", "brainevent.events"} and "os" not in names


@pytest.mark.parametrize("name, age, gone", [("old-" + "a" * 20, 31, True), ("new-" + "b" * 20, 29, False), ("mine", 99, False)])
def test_prune(tmp_path, name, age, gone):
    folder = tmp_path / name
    folder.mkdir()
    stamp = folder.stat().st_mtime - age * 24 * 3600
    os.utime(folder, (stamp, stamp))
    cache_folder._prune(tmp_path)
    assert folder.exists() is not gone


FUZZ = """
import json, pathlib, pickle, sys, warnings
import jax, jax.numpy as jnp, numpy as np
import brainevent as be
from brainevent.backends.numba.bridge import ffi, sealed_file
from numba.core.registry import cpu_target

A, x = be.CSR.fromdense(jnp.arange(6.0).reshape(2, 3), backend="numba"), jnp.array([1.0, 0.0])
assert (be.EventArray(x) @ A == jnp.array([0.0, 1.0, 2.0])).all()
assert (A @ x[:1].repeat(3) == jnp.array([3.0, 12.0])).all()
places = [handler._cache for handler in ffi._handlers.values()]
contents = [place.path.read_bytes() for place in places]
random = np.random.default_rng(0)
counts, tried = dict(refused=0, loaded=0, crashed=0), 0

def damages(content, other):
    yield from (content[: len(content) * k // 10] for k in range(10))
    yield from (content[len(content) * k // 10 :] for k in range(1, 10))
    yield from (b"", other, bytes(len(content)), content + b"0", content[::-1])
    for _ in range(500):
        at, bit = random.integers(len(content)), random.integers(8)
        yield content[:at] + bytes([content[at] ^ 1 << int(bit)]) + content[at + 1 :]

with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    for k, place in enumerate(places):
        for content in damages(contents[k], contents[k - 1]):
            place.path.write_bytes(content)
            tried += 1
            counts["refused" if place.load_overload(None, cpu_target.target_context) is None else "loaded"] += 1
            assert not place.path.exists()
        place.path.write_bytes(contents[k])
        assert place.load_overload(None, cpu_target.target_context).library.name
counts["warnings"] = [str(warning.message) for warning in said]

class Planted:
    def __reduce__(self):
        return print, ("code of others",)

if sys.argv[1:]:  # what somebody who knows all the names would leave there
    for place in places:
        sealed_file.write(place.path, place.identity, pickle.dumps((Planted(),)))
    pickle.loads(sealed_file.read(places[0].path, places[0].identity))
print(json.dumps(counts | dict(files=len(places), tried=tried)))
"""


@pytest.mark.thorough
def test_damaged_and_planted_files_are_never_run(tmp_path):
    """Every file cut at 10 places from either end, emptied, exchanged, reversed, and 500 single bits of each: none is loaded."""
    cache, elsewhere = tmp_path / "cache", tmp_path / "elsewhere"
    environment = {"BRAINEVENT_CACHE_DIR": str(cache), "XDG_CACHE_HOME": str(elsewhere), "HOME": str(tmp_path)}

    def run(*arguments):
        command = [sys.executable, "-W", "always", "-c", FUZZ, *arguments]
        done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout, done.stderr

    out, _ = run("plant")
    ran, counts = out.splitlines()
    assert ran == "code of others"  # it would run, but for the folder
    counts = json.loads(counts)
    assert counts["files"] == 2 and counts["refused"] == counts["tried"] == 2 * 524 and counts["loaded"] == 0
    assert len(counts["warnings"]) == 1 and str(cache) in counts["warnings"][0]

    cache.chmod(0o777)
    out, err = run()
    assert (
        "code of others" not in out and "others can write to it (mode 777)" in err and f"they are kept in {elsewhere / 'brainevent'}" in err
    )


class Status:
    def __init__(self, uid, mode):
        self.st_uid, self.st_mode = uid, mode


@pytest.mark.parametrize(
    "uid, mode, me, words",
    [
        (1000, 0o40700, 1000, ""),
        (1000, 0o40755, 1000, ""),  # others may read
        (0, 0o40755, 1000, ""),  # root could change this process anyway
        (1001, 0o40700, 1000, "user with number 1001"),
        (1001, 0o40700, 0, "user with number 1001"),  # root runs nobody's code
        (1000, 0o40770, 1000, "mode 770"),
        (1000, 0o40702, 1000, "mode 702"),
        (0, 0o41777, 1000, "mode 1777"),  # the temporary files themselves
        (1000, 0o100666, 1000, "mode 666"),
        (0, 0o40777, None, ""),  # a system without such owners
    ],
)
def test_only_files_of_mine_or_of_root_are_trusted(uid, mode, me, words):
    why = sealed_file.distrust(Status(uid, mode), me)
    assert words in why and bool(why) == bool(words)


@pytest.mark.skipif(sys.platform != "linux", reason="owners, modes, XDG")
@pytest.mark.parametrize(
    "damage, words",
    [
        (lambda path: path.chmod(0o666), "mode 666"),
        (lambda path: path.rename(path.with_name("other")) and path.symlink_to("other"), "symbolic"),
        (lambda path: path.unlink() or path.mkdir(), "directory"),
        (lambda path: path.unlink() or os.mkfifo(path, 0o600), "no regular file"),  # and nobody waits for a writer
        (lambda path: path.write_bytes(b""), "not as it was written"),
        (lambda path: sealed_file.write(path, b"of another source", b"payload"), "not as it was written"),
    ],
)
def test_a_file_that_is_not_ours_or_not_whole_is_refused(tmp_path, damage, words):
    path = tmp_path / "file"
    assert sealed_file.read(path, b"source") is None
    sealed_file.write(path, b"source", b"payload")
    assert sealed_file.read(path, b"source") == b"payload" and path.stat().st_mode & 0o777 == 0o600
    damage(path)
    with pytest.raises(sealed_file.Damaged, match=words):
        sealed_file.read(path, b"source")


def test_a_full_disk_leaves_no_file(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        sealed_file.write(tmp_path / "file", b"source", b"payload")
    assert list(tmp_path.iterdir()) == []


CHOSEN, USERS, PRIVATE = "chosen/deep", "home/.cache/brainevent", f"tmp/brainevent-{sealed_file.user()}"
FOLDERS = {  # {case: (environment, folders that are there {path: mode, file or link}, the folder taken, words of the warning)}
    "asked for": ({"BRAINEVENT_CACHE_DIR": "ROOT/chosen/deep"}, {}, CHOSEN, None),
    "open to others": (
        {"BRAINEVENT_CACHE_DIR": "ROOT/chosen/deep"},
        {CHOSEN: 0o777},
        USERS,
        "others can write to it .mode 777.*kept in .*/home",
    ),
    "a file": ({"BRAINEVENT_CACHE_DIR": "ROOT/chosen/deep"}, {CHOSEN: "file"}, USERS, "expected a folder"),
    "below a file": ({"BRAINEVENT_CACHE_DIR": "ROOT/chosen/deep"}, {"chosen": "file"}, USERS, "Not a directory.*kept in"),
    "a link": ({"BRAINEVENT_CACHE_DIR": "ROOT/chosen/deep"}, {"mine": 0o700, CHOSEN: "mine"}, "mine", None),
    "too long": ({"BRAINEVENT_CACHE_DIR": "ROOT/" + 300 * "x"}, {}, USERS, "too long"),
    "relative, of the current folder": ({"BRAINEVENT_CACHE_DIR": "chosen"}, {}, "chosen", None),
    "of no home": ({"BRAINEVENT_CACHE_DIR": "~/chosen", "HOME": ""}, {}, PRIVATE, "~/chosen needs a home, and HOME='' is no absolute path"),
    "nothing asked": ({}, {}, USERS, None),
    "XDG": ({"XDG_CACHE_HOME": "ROOT/xdg"}, {}, "xdg/brainevent", None),
    "XDG relative": ({"XDG_CACHE_HOME": "xdg"}, {}, USERS, None),
    "XDG open to others": ({"XDG_CACHE_HOME": "ROOT/xdg"}, {"xdg/brainevent": 0o777}, PRIVATE, "others can write"),
    "HOME empty": ({"HOME": ""}, {}, PRIVATE, None),
    "HOME relative": ({"HOME": "home"}, {}, PRIVATE, None),
    "HOME a file": ({"HOME": "ROOT/file"}, {"file": "file"}, PRIVATE, None),
    "private name open to others": ({"HOME": ""}, {PRIVATE: 0o777}, None, "others can write.*each process compiles them anew"),
    "private name a link": ({"HOME": ""}, {"mine": 0o700, PRIVATE: "mine"}, None, "a link or a file"),
    "private in use": ({"HOME": ""}, {PRIVATE: 0o700, f"{PRIVATE}/x": "file"}, PRIVATE, None),
    "nowhere": ({"HOME": ""}, {"tmp": "file"}, None, "cannot be written; BRAINEVENT_CACHE_DIR names another folder. Instead each process"),
}


@pytest.mark.skipif(sys.platform != "linux", reason="owners, modes, XDG")
@pytest.mark.parametrize("case", FOLDERS)
def test_the_folder_is_one_that_nobody_else_can_write(tmp_path, monkeypatch, case, recwarn):
    environment, there, taken, words = FOLDERS[case]
    tmp_path = Path(os.path.realpath(tmp_path))
    for name, what in there.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if what == "file":
            path.touch()
        elif isinstance(what, str):
            path.symlink_to(tmp_path / what)
        else:
            path.mkdir()
            path.chmod(what)
    for name in ("home", "tmp"):
        if not (tmp_path / name).exists():
            (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BRAINEVENT_CACHE_DIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    for name, value in ({"HOME": "ROOT/home", "XDG_CACHE_HOME": ""} | environment).items():
        monkeypatch.setenv(name, value.replace("ROOT", str(tmp_path)))

    before = set(tmp_path.rglob("*"))
    umask = os.umask(0)
    try:
        found = cache_folder._root.__wrapped__()
    finally:
        os.umask(umask)
    assert found == (None if taken is None else tmp_path / taken)
    assert {path.stat().st_mode & 0o777 for path in set(tmp_path.rglob("*")) - before} <= {0o700}  # whatever the umask
    said = " ".join(str(warning.message) for warning in recwarn)
    assert re.search(words, said) if words else not said, said
