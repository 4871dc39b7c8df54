"""Print the oldest versions that pyproject.toml allows, one constraint per line.

    python tools/oldest.py > oldest.txt
    pip install -c oldest.txt -e ".[test]"

A lower bound that nobody tests is a guess, so CI runs every test with exactly these. Needs Python 3.11 and
nothing else.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

REQUIREMENT = re.compile(r"^\s*(?P<name>[A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*>=\s*(?P<version>[0-9][0-9.]*)\s*(?:;.*)?$")


def oldest(project: dict, extras: tuple[str, ...]) -> list[str]:
    """Return ``name==version`` for each dependency, and each of some extras, that names a lower bound."""
    lines = list(project["dependencies"])
    for extra in extras:
        lines += project["optional-dependencies"][extra]
    own = project["name"]
    found = []
    for line in lines:
        if re.match(rf"^\s*{re.escape(own)}\s*\[", line):  # omnireco[demo]: an extra that takes in another
            continue
        match = REQUIREMENT.match(line)
        if match is None:
            raise SystemExit(f"pyproject.toml: {line!r} names no lower bound. Write 'name>=version'.")
        if "Windows" in line and any(one.startswith(f"{match['name']}==") for one in found):
            continue  # a stricter bound for a system on which the oldest versions are not tried
        found.append(f"{match['name']}=={match['version']}")
    return sorted(set(found))


if __name__ == "__main__":
    pyproject = Path(__file__).resolve().parent.parent / "pyproject.toml"
    asked = tuple(sys.argv[1:]) or ("demo", "test", "redis")
    print("\n".join(oldest(tomllib.loads(pyproject.read_text("utf-8"))["project"], asked)))
