"""What importing brainevent costs and loads, and that it is this project whatever is imported first."""

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

import brainevent

LAZY = ("numba", "brainstate", "matplotlib", "jax_triton", "triton", "tqdm")


def run(script):
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_import_is_lean():
    """DESIGN.md, law 4: numba, brainstate and matplotlib load on first use; at most 0.3 s over jax and brainunit."""
    script = "import sys, time, jax, jax.numpy, jax.experimental, brainunit; before = set(sys.modules); start = time.perf_counter()\n"
    script += f"import brainevent; took = time.perf_counter() - start; print(took, *({LAZY!r} & (sys.modules.keys() - before)))"
    took, *loaded = run(script.replace(repr(LAZY), repr(set(LAZY))))
    assert not loaded
    assert float(took) < 0.3


def test_products_of_xla_load_no_numba():
    script = """
import sys, numpy as np, brainevent as be
A = be.CSR.fromdense(np.eye(3), backend="xla")
be.EventArray(np.ones(3, bool)) @ A
print("numba" in sys.modules, "brainstate" in sys.modules)
be.EventArray(np.ones(3, bool)) @ A.with_backend(None)
print("numba" in sys.modules)"""
    assert run(script)[:2] == ["False", "False"]


@pytest.mark.parametrize("order", ["brainevent, brainstate", "brainstate, brainevent"])
def test_this_is_the_brainevent_that_brainstate_gets(order):
    script = f"import {order}; import brainevent.projections; print(brainevent.__file__, brainevent.__version__, brainstate.__name__)"
    file, version, name = run(script)
    assert Path(file).resolve() == Path(brainevent.__file__).resolve() == Path(__file__).resolve().parents[2] / "brainevent" / "__init__.py"
    assert (version, name) == ("0.4.0", "brainstate")


def test_no_other_distribution_is_installed():
    distributions = [d for d in importlib.metadata.distributions() if d.metadata["Name"] == "brainevent"]
    assert {d.version for d in distributions} == {brainevent.__version__} == {"0.4.0"}
    packages = [path for path in sys.path if (Path(path) / "brainevent" / "__init__.py").exists()]
    assert {str(Path(path).resolve()) for path in packages} <= {str(Path(brainevent.__file__).parents[1])}
    assert not hasattr(brainevent, "coomv")  # braincell switches on its presence
    assert all(getattr(brainevent, name) is not None for name in brainevent.__all__)
    assert brainevent.BinaryArray is brainevent.EventArray and brainevent.WeightedArray is brainevent.MaskedFloat
    assert brainevent.FixedNumPerPre is brainevent.FixedPostNumConn and brainevent.FixedNumPerPost is brainevent.FixedPreNumConn
