"""Every notebook runs from top to bottom, in a kernel of the interpreter that runs the tests.

`python tests/networks/test_notebooks.py` runs them and stores them with their outputs.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


def execute(source: Path, target: Path, directory: Path):
    """Write a notebook with fresh outputs; raises the error of a cell that fails. The kernel is registered in `directory` alone."""
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient

    spec = directory / "kernels" / "python3"
    spec.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (spec / "kernel.json").write_text(json.dumps({"argv": command, "display_name": "Python 3", "language": "python"}))
    notebook = nbformat.read(source, as_version=4)
    specs = KernelSpecManager(kernel_dirs=[str(spec.parent)], ensure_native_kernel=False)
    manager = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=specs)
    resources = {"metadata": {"path": str(directory)}}
    NotebookClient(notebook, km=manager, timeout=300, resources=resources, record_timing=False).execute()
    nbformat.write(notebook, target)


def outputs(path: Path):
    notebook = nbformat.read(path, as_version=4)
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


@pytest.mark.thorough
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path, tmp_path):
    target = tmp_path / path.name  # in a process of its own, which takes the sockets of the kernel's client along when it ends
    environment = {key: value for key, value in os.environ.items() if key != "MPLBACKEND"}  # pictures go inline
    done = subprocess.run([sys.executable, __file__, str(path), str(target)], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    fresh = outputs(target)
    assert any("image/png" in output.get("data", {}) for output in fresh)
    assert not [output for output in fresh if output.get("name") == "stderr"]  # no warning greets a reader


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_stored_with_its_pictures(path):
    nbformat.validate(nbformat.read(path, as_version=4))
    assert any("image/png" in output.get("data", {}) for output in outputs(path))
    assert path.stat().st_size < 300_000
    assert str(Path.home()) not in path.read_text()


if __name__ == "__main__":
    pairs = [tuple(map(Path, sys.argv[1:3]))] if sys.argv[1:] else [(path, path) for path in NOTEBOOKS]
    for source, target in pairs:
        with tempfile.TemporaryDirectory() as directory:
            execute(source, target, Path(directory))
