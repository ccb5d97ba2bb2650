"""Every Python block of README.md and docs/*.md runs, each file as one script; every docstring example gives what it says."""

import doctest
import importlib
import pkgutil
import re
import runpy
from pathlib import Path

import matplotlib
import pytest

import brainevent

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MODULES = [module.name for module in pkgutil.walk_packages(brainevent.__path__, "brainevent.")] + ["brainevent", "networks.command_line"]
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def script(page: Path) -> str:
    """The Python blocks of a page as one script, at the line numbers that they have in the page."""
    inside, lines = False, []
    for line in page.read_text().splitlines():
        fence = re.match(r"```(\w*)", line)
        lines.append(line if inside and not fence else "")
        inside = not inside and fence[1] == "python" if fence else inside
    return "\n".join(lines)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_blocks_run(page, tmp_path, monkeypatch):
    matplotlib.use("agg")
    monkeypatch.chdir(tmp_path)
    (tmp_path / f"{page.stem}.py").write_text(script(page))
    runpy.run_path(str(tmp_path / f"{page.stem}.py"), run_name="__main__")


def test_blocks_are_found():
    assert "run.plot(" in script(ROOT / "README.md")
    assert "pip install" not in script(ROOT / "README.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link in re.findall(r"(?:\]\(|src=\")([^)\"#]+)", page.read_text()):
        assert link.startswith("https://") or (page.parent / link).exists(), link


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name):
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        pytest.skip(f"an optional dependency is not installed: {error}")
    failed, _ = doctest.testmod(module, optionflags=OPTIONS)
    assert failed == 0
