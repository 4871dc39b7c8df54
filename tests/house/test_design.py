"""What the design page counts and names is true of the code."""

import ast
import importlib
import importlib.util
import inspect
import pkgutil
import re
from pathlib import Path

import omnireco as om

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src/omnireco"
DESIGN = (ROOT / "docs/design.md").read_text("utf-8")
FLAT = re.sub(r"\s+", " ", DESIGN)


def _classes():
    for found in pkgutil.walk_packages(om.__path__, "omnireco."):
        module = importlib.import_module(found.name)
        yield from (one for one in vars(module).values() if inspect.isclass(one) and one.__module__ == found.name)


def test_the_tree_is_that_of_the_files():
    spec = importlib.util.spec_from_file_location("tree", ROOT / "tools/tree.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert tool.written(DESIGN) == DESIGN, "run python tools/tree.py"


def test_the_front_shows_as_many_names_as_it_says():
    assert int(re.search(r"front door shows (\d+) names", FLAT).group(1)) == len(om.__all__)


def test_abstract_classes_are_those_that_are_named():
    named = re.search(r"Abstract classes \(a test counts them\): ([^.]*)\.", FLAT).group(1)
    abstract = {
        one.__name__ for one in _classes() if inspect.isabstract(one) and not getattr(one, "_is_protocol", False)
    }
    assert set(re.findall(r"`?(\w+)`?(?:,| and|$)", named)) == abstract


def test_no_folder_is_larger_than_it_says():
    most = int(re.search(r"a flat folder has at most (\d+) files", FLAT).group(1))
    sizes = {folder: len(list(folder.glob("*.py"))) - 1 for folder in SOURCE.rglob("*") if folder.is_dir()}
    assert max(sizes.values()) <= most


def test_the_order_of_the_rooms_is_that_of_the_house_test():
    drawn = re.search(r"errors <- _core[^\n]*", DESIGN).group(0).split(" <- ")
    tree = ast.parse((ROOT / "tests/house/test_house.py").read_text("utf-8"))
    rooms = next(ast.literal_eval(node.value) for node in tree.body if _sets(node, "ROOMS"))
    order = [name for names in rooms for name in names.split()]
    assert [name for name in order if name in drawn] == drawn


def _sets(node, name):
    return isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == name


def test_every_dependency_has_its_reason():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    names = {re.match(r"[\w-]+", one).group(0) for one in wanted} - {"omnireco"}
    reasons = DESIGN.split("Dependencies, each with its one reason:")[1]
    assert {name for name in names if name not in reasons} == set()
