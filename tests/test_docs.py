"""Every Python block of README.md and docs/*.md runs, each file as one script; every docstring example gives what it says."""

import doctest
import importlib
import inspect
import pkgutil
import re
import runpy
from pathlib import Path

import matplotlib
import pytest

import brainevent
from brainevent import projections

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


@pytest.mark.parametrize(
    "page", [pytest.param(p, marks=pytest.mark.thorough if p.parent.name == "docs" else ()) for p in PAGES], ids=lambda p: p.name
)
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


# -- docstrings, as the documentation reads them ----------------------------------------------------------------------------------


def public() -> dict[str, object]:
    """Every public class and function by its name, and their public methods and properties as `Class.name`."""
    found = {}
    for module in (brainevent, projections):
        for name in module.__all__:
            thing = getattr(module, name)
            if not inspect.ismodule(thing):
                found[f"{module.__name__.rpartition('.')[2]}.{name}"] = thing
    for name, thing in list(found.items()):
        if inspect.isclass(thing):
            own = {key: value for key, value in vars(thing).items() if not key.startswith("_") and is_documented(value)}
            found |= {f"{name}.{key}": value if isinstance(value, property) else getattr(thing, key) for key, value in own.items()}
    return found


def is_documented(value) -> bool:
    """Whether an attribute of a class is one that documentation lists with a text of its own."""
    return inspect.isfunction(value) or isinstance(value, (property, classmethod, staticmethod))


PUBLIC = public()
SECTION = re.compile(r"^(\w[\w ]*):$")
ARGUMENT = re.compile(r"^ {2,4}([\w*]+(?:, [\w*]+)*): ")


def signature_of(thing) -> list[str]:
    """The names of what a caller gives."""
    own = vars(thing).get("__signature__") if inspect.isclass(thing) else None
    parameters = (own or inspect.signature(thing.__init__ if inspect.isclass(thing) else thing)).parameters
    return [name for name in parameters if name not in ("self", "cls")]


def arguments_of(text: str) -> list[str] | None:
    """The names under `Args:`, None if there is no such section."""
    lines, inside, names = text.splitlines(), False, None
    for line in lines:
        if SECTION.match(line):
            inside = line == "Args:"
            names = [] if inside else names
        elif inside and (match := ARGUMENT.match(line)):
            names = [*(names or []), *match[1].split(", ")]
    return names


@pytest.mark.parametrize("name", PUBLIC)
def test_docstrings_read_well(name):
    """A sentence first, nothing at the left margin that belongs into an example, and examples that the parser takes as they stand."""
    text = inspect.getdoc(PUBLIC[name])
    assert text, f"{name} has no docstring"
    first = text.splitlines()[0]
    assert first.strip() == first and re.search(r"[.:)`]$", text.split("\n\n")[0].strip()), f"{name}: no sentence: {first!r}"
    assert not re.search(r"^\s*(import|from \w+ import) ", text, re.MULTILINE), f"{name}: an import outside of an example"
    examples = doctest.DocTestParser().get_examples(text)
    assert len(examples) == text.count(">>> ") and len({example.indent for example in examples}) <= 1, f"{name}: a ragged example"


@pytest.mark.parametrize("name", [name for name, thing in PUBLIC.items() if inspect.isclass(thing) or inspect.isfunction(thing)])
def test_arguments_are_those_of_the_signature(name):
    given = arguments_of(inspect.getdoc(PUBLIC[name]) or "")
    if given is not None:
        wanted = [parameter for parameter in signature_of(PUBLIC[name]) if parameter != "parts"]
        assert set(wanted) <= {argument.lstrip("*") for argument in given}, f"{name}: {set(wanted) - set(given)} is not in Args"


@pytest.mark.parametrize("name", [name for name, thing in PUBLIC.items() if name.count(".") == 1])
def test_everything_public_has_an_example(name):
    assert ">>>" in (inspect.getdoc(PUBLIC[name]) or ""), f"{name}: no example"
