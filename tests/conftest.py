"""Fixtures shared by the suites, and how many processes run them; `tables.py` and `oracles.py` stand beside this file."""

import ctypes
import gc
import os
import pathlib
import subprocess
import sys

# What makes XLA compile small programs for a CPU in less than half the time, where jaxlib knows these flags; it ends the process if not
QUICK_FLAGS = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"


def knows(flags: str) -> bool:
    """Whether the installed jaxlib takes these flags of XLA."""
    command = [sys.executable, "-c", "import jax; jax.devices('cpu')"]
    return not subprocess.run(command, env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}, capture_output=True).returncode


# Before jax and numba are imported; processes of xdist inherit it
if not {"PYTEST_XDIST_WORKER", "BRAINEVENT_TEST_AS_FOR_USERS"} & os.environ.keys():
    os.environ.setdefault("NUMBA_OPT", "1")  # part of the name of the folder where machine code is kept
    if "XLA_FLAGS" not in os.environ and knows(QUICK_FLAGS):
        os.environ["XLA_FLAGS"] = QUICK_FLAGS

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tables
from jax.experimental.xla_metadata import set_xla_metadata

from brainevent.core import law, ordered_sums, table

MOST_WORKERS = 8
MOST_PAGES = 2**31 // os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0  # 2 GB, that a process may keep from suite to suite


def pytest_addoption(parser):
    parser.addoption("--thorough", action="store_true", help="run every row of every table, as CI does: those too that are like others")


def named(config) -> bool:
    """Whether files or tests are named."""
    return any(".py" in argument for argument in config.args)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """A process for each core, unless `-n` says otherwise, a debugger is asked for, or files or tests are named."""
    if "PYTEST_XDIST_WORKER" in os.environ:  # one of those processes, which must start no others
        return
    option = config.option
    if config.pluginmanager.hasplugin("xdist") and not option.usepdb and not option.collectonly:
        if option.numprocesses is None and not named(config):
            cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
            option.numprocesses = min(cores, MOST_WORKERS)
        if option.numprocesses and option.dist == "no":
            option.dist = "worksteal"  # some tests take half a minute: whoever is done takes from the others


def pytest_collection_modifyitems(config, items):
    """Rows that repeat what others try are left out, unless they are asked for."""
    if config.option.thorough or named(config):
        return
    kept, left = [], []
    for item in items:
        (left if item.get_closest_marker("thorough") or repeats(item) else kept).append(item)
    config.hook.pytest_deselected(items=left)
    items[:] = kept


def repeats(item) -> bool:
    """Whether one of the parameters of a test is a format that is like others, or one of columns that XLA walks as it does rows."""
    parameters = [value for value in item.callspec.params.values() if isinstance(value, str)] if hasattr(item, "callspec") else []
    return any(value in tables.REPEATED for value in parameters) or {"JITCNormalC", "xla"} <= set(parameters)


def pytest_configure(config):
    """What XLA has compiled is kept in pytest's cache, so that the processes share it, and the next run finds it."""
    config.addinivalue_line("markers", "thorough: left out, unless `--thorough` is given or its file is named")
    if config.pluginmanager.hasplugin("cacheprovider"):
        jax.config.update("jax_compilation_cache_dir", str(config.cache.mkdir("jax")))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


@pytest.fixture(scope="module", autouse=True)
def let_go():
    """The suites compile thousands of small programs, 2 MB each: those of one are let go of before the next if they take more than 2 GB."""
    yield
    statm = pathlib.Path("/proc/self/statm")
    if statm.exists() and int(statm.read_text().split()[1]) > MOST_PAGES:
        jax.clear_caches()
        gc.collect()
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc keeps what is free, unless it is told
        if trim is not None:
            trim(0)


@pytest.fixture(scope="module")
def x64():
    """float64 for a module of tests: arrays are as wide as they say, so that oracles are exact to 1e-12."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def rolled():
    """The generator of just-in-time formats as a loop over its rounds: the same words (`test_law.py`), compiled faster."""
    with pytest.MonkeyPatch.context() as patch, set_xla_metadata(brainevent_test="rolled"):  # part of the key of what jax has compiled
        patch.setattr(law, "philox", tables.rolled_philox)
        yield


@pytest.fixture(scope="session", autouse=True)
def quick():
    """XLA optimises little: most tests run many small programs once, and compare sums within a rounding."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture
def optimised():
    """XLA optimises as for users: for bits that must not depend on it, for memory, and for networks that run long."""
    jax.config.update("jax_disable_most_optimizations", False)
    with set_xla_metadata(brainevent_test="optimised"):  # part of the key of what jax has compiled
        yield
    jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture(scope="session", autouse=tables.PLATFORM != tables.OWN_PLATFORM)
def pretended():
    """BRAINEVENT_TEST_PLATFORM=cuda on a CPU: numba serves nothing, and sums of the xla kernels take terms in another order each time.

    Whatever passes so does neither ask for the CPU's backend by name nor compare bits that a GPU does not promise. With
    TRITON_INTERPRET=1 the automatic choice is `triton`, as on a GPU.
    """
    load, whole_sums = table._load, ordered_sums.whole_sums

    def shuffled(like, index, terms, most):
        n = terms.shape[0]
        order = jax.pure_callback(lambda: np.random.permutation(n).astype(np.int32), jax.ShapeDtypeStruct((n,), jnp.int32))
        return whole_sums(like, jax.tree.map(lambda ids: ids[order], index), terms[order], most)

    with pytest.MonkeyPatch.context() as patch:
        if tables.INTERPRETED:
            patch.setitem(table.BACKENDS, "triton", ("cuda", "cpu"))
        patch.setattr(table, "_load", lambda name: load(name) if name in tables.HERE else f"{name} does not serve {tables.PLATFORM}")
        patch.setattr(ordered_sums, "whole_sums", shuffled)
        yield
