"""Write the files of the library, each with the first line of its docstring, into docs/design.md.

python tools/tree.py            write
python tools/tree.py --check    fail where the page differs
"""

import argparse
import ast
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
SOURCE = PROJECT / "src" / "omnireco"
PAGE = PROJECT / "docs" / "design.md"
BEGIN, END = "<!-- tree -->\n", "<!-- end of the tree -->\n"
ROOMS = (
    "_core",
    "_kernels",
    "data",
    "identity",
    "models",
    "timing",
    "choices",
    "journeys",
    "causal",
    "planning",
    "evaluation",
    "worlds",
    "files",
    "live",
    "adapters",
    "spark",
    "_demo",
)


def tree() -> str:
    """Return the rooms in the order in which they may import one another, then the single files."""
    lines = ["src/omnireco/"]
    for room in ROOMS:
        lines += [*_folder(SOURCE / room, 2), ""]
    lines += [_line(file.name, file, 2) for file in sorted(SOURCE.glob("*.py"))]
    return "\n".join(f"    {line}".rstrip() for line in lines) + "\n"


def written(page: str) -> str:
    """Return the page with the tree of today between its two marks."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n{tree()}\n{END}{rest.split(END)[1]}"


def _folder(folder: Path, indent: int) -> list[str]:
    lines = [_line(f"{folder.name}/", folder / "__init__.py", indent)]
    lines += [_line(f.name, f, indent + 2) for f in sorted(folder.glob("*.py")) if f.name != "__init__.py"]
    for inner in sorted(path for path in folder.iterdir() if (path / "__init__.py").exists()):
        lines += _folder(inner, indent + 2)
    return lines


def _line(name: str, file: Path, indent: int) -> str:
    first = (ast.get_docstring(ast.parse(file.read_text("utf-8"))) or "").split("\n")[0].rstrip(".")
    return f"{' ' * indent}{name:<20} {first}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="fail where the page differs from the files")
    checking = parser.parse_args().check
    page = PAGE.read_text("utf-8")
    fresh = written(page)
    if checking and fresh != page:
        sys.exit("docs/design.md shows another tree than the files: run python tools/tree.py")
    PAGE.write_text(fresh, "utf-8")


if __name__ == "__main__":
    main()
