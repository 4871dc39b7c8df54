"""Does a wheel hold the package, all of it and nothing else? And does the sdist build the same wheel?

python -m build                                            # dist/: an sdist, and the wheel made from it
python -m build --wheel --outdir dist/clone                # the wheel made from the checkout
python tools/packed.py dist/*.whl dist/clone/*.whl
"""

from __future__ import annotations

import re
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
METADATA = {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}
LARGEST = 100_000  # bytes of one file: more is data


def faults(wheel: Path, source: Path) -> list[str]:
    """Return what is wrong with a wheel, in words.

    Parameters
    ----------
    wheel : Path
    source : Path
        The folder of the package that it was made from, ``src/omnireco``.
    """
    with zipfile.ZipFile(wheel) as archive:
        sizes = {one.filename: one.file_size for one in archive.infolist()}
    own = {name for name in sizes if not re.match(r"[^/]+\.dist-info/", name)}
    wanted = {
        f"{source.name}/{path.relative_to(source).as_posix()}"
        for path in source.rglob("*")
        if path.suffix == ".py" or path.name == "py.typed"
    }
    metadata = {name.split(".dist-info/")[1] for name in set(sizes) - own}
    found = [f"missing: {name}" for name in sorted(wanted - own)]
    found += [f"not of the package: {name}" for name in sorted(own - wanted)]
    found += [f"metadata differ: {name}" for name in sorted(metadata ^ METADATA)]
    found += [f"{size:,} bytes, which looks like data: {name}" for name, size in sizes.items() if size > LARGEST]
    if f"{source.name}/py.typed" not in own:
        found.append("no py.typed: type checkers would see nothing")
    return found


def main(wheels: list[str]) -> None:
    """Check wheels; those after the first must have its bytes."""
    first = Path(wheels[0])
    found = faults(first, ROOT / "src" / "omnireco")
    found += [f"{other} has other bytes than {first}" for other in wheels[1:] if not same(first, Path(other))]
    print("\n".join(found) or f"{first.name}: the package, all of it and nothing else; {len(wheels)} wheel(s) equal")
    sys.exit(bool(found))


def same(one: Path, other: Path) -> bool:
    """Whether two wheels hold the same bytes."""
    return one.read_bytes() == other.read_bytes()


if __name__ == "__main__":
    main(sys.argv[1:])
