"""The map of docs/design.md is true: which part of the package imports which, and that a backend can be taken out."""

import ast
import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tables import needs_numba, thorough

import brainevent

PACKAGE = Path(brainevent.__file__).parent
DESIGN = Path(__file__).parents[1] / "docs" / "design.md"


def rows() -> list[tuple[list[str], list[str]]]:
    """`(places, places they may import)` of each row of the map, the lowest first."""
    table = re.search(r"^\| where \|.*?\n\|[-| ]+\n(.*?)\n\n", DESIGN.read_text(), re.DOTALL | re.MULTILINE)
    assert table is not None, "docs/design.md has lost its map"
    cells = ([cell.strip() for cell in line.strip("|").split("|")] for line in table[1].splitlines())
    return [(re.findall(r"`([^`]+)`", places), re.findall(r"`([^`]+)`", imports)) for places, _, imports in cells]


MAP = {place: (*places, *imports) for places, imports in rows() for place in places}


def place_of(module: str) -> str:
    """The row of the map that a module belongs to: its own, or that of the innermost folder."""
    path = module.split(".")[1:]
    names = ["/".join(path) + ".py", *("/".join(path[:i]) + "/" for i in range(len(path), 0, -1)), "__init__.py"]
    return next(name for name in names if name in MAP)


def sources() -> dict[str, Path]:
    """`{module: file}` of the whole package."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


SOURCES = sources()


def imports_of(module: str) -> set[str]:
    """The modules of the package that a module imports, anywhere in its text."""
    path, found = SOURCES[module], set()
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package) if node.level else node.module
            found |= {name if (name := f"{base}.{alias.name}") in SOURCES else base for alias in node.names}
    return found & SOURCES.keys() - {module}


def test_the_map_names_what_there_is():
    for place in MAP:
        assert (PACKAGE / place).exists(), place
    assert {"core/", "formats/", "backends/xla/", "backends/numba/", "backends/triton/", "projections/"} <= MAP.keys()


def test_every_arrow_points_down():
    """A row imports itself and what it lists, and it lists rows above it only."""
    above = set()
    for places, imports in rows():
        assert set(imports) <= above, f"{places} may import {set(imports) - above}, which stands below"
        above |= set(places)
    for module in SOURCES:
        place = place_of(module)
        for other in imports_of(module):
            assert place_of(other) in MAP[place], f"{module} ({place}) imports {other} ({place_of(other)})"


def test_no_cycles():
    """Within a row, too."""
    arrows = {module: imports_of(module) for module in SOURCES}
    while arrows:
        free = [module for module, others in arrows.items() if not others & arrows.keys()]
        assert free, f"a cycle among {sorted(arrows)}"
        for module in free:
            del arrows[module]


def test_core_and_projections_know_no_backend():
    for module in SOURCES:
        if not module.startswith("brainevent.backends"):
            assert not any(other.startswith("brainevent.backends") for other in imports_of(module)), module


WITHOUT = """
import brainevent as be, brainunit as u, jax, numpy as np
from brainevent.projections import COBA, Delta, Expon, FixedProb, LIF, Network, Projection

assert be.__file__.startswith({root!r}), be.__file__
M = np.arange(1.0, 7, dtype=np.float32).reshape(2, 3)
for cls in (be.Dense, be.COO, be.CSR, be.CSC, be.FixedPostNumConn):
    A = cls.fromdense(M)
    np.testing.assert_array_equal(be.EventArray([1, 0]) @ A, M[0])
    np.testing.assert_array_equal(jax.grad(lambda w: (be.EventArray([1, 0]) @ A.with_data(w)).sum())(A.data).sum(), 3)
    assert be.explain("propagate", A).backend == "xla" and {said!r} in str(be.explain("propagate", A))
assert be.explain("propagate", A, platform="cuda").backend == "xla"
J = be.JITCNormalR((1.0, 0.1, 0.5, 1), shape=(20, 30))
np.testing.assert_allclose(be.EventArray(np.ones(20)) @ J, J.todense().sum(0), rtol=1e-5)
N = LIF(50, V_th=-50 * u.mV, V_init=-51 * u.mV, name="N")
parts = [Projection(N, FixedProb(0.1, weight=w, format=f), s, N, delay=0.5 * u.ms)
         for w, f, s in ((1 * u.nS, "csr", Expon(tau=5 * u.ms, output=COBA(E=0 * u.mV))), (0.1 * u.mV, "jit", Delta()))]
assert Network(*parts).run(5 * u.ms, dt=0.1 * u.ms, inputs={{N: 400 * u.pA}}, progress=False).spikes(N)[1].size > 0
try:
    be.EventArray([1, 0]) @ be.CSR.fromdense(M, backend="numba")
except {error} as error:
    assert {words!r} in str(error), error
else:
    raise AssertionError("numba served")
"""


@pytest.mark.parametrize(
    "line, error, words, said",
    [
        pytest.param(False, "ValueError", "unknown backend 'numba'", "xla has a kernel for", marks=thorough),
        pytest.param(True, "be.BackendError", "numba cannot be imported", "numba cannot be imported", marks=(needs_numba, thorough)),
    ],
    ids=["folder and line", "folder only"],
)
def test_without_the_other_folders_everything_runs_on_xla(tmp_path, line, error, words, said):
    """A backend is a folder and a line of the table."""
    copy = tmp_path / "brainevent"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    table = copy / "core" / "table.py"
    for name in ("numba", "triton"):
        shutil.rmtree(copy / "backends" / name)
        if not line:
            text = re.sub(rf'^    "{name}": .*\n', "", table.read_text(), flags=re.MULTILINE)
            assert text != table.read_text()
            table.write_text(text)
    script = WITHOUT.format(root=str(tmp_path), error=error, words=words, said=said)
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
