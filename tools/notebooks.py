"""Run every notebook's script and write the .ipynb that shows its outputs.

    python tools/notebooks.py            # make notebooks
    python tools/notebooks.py --check    # in CI: run them, and see that the stored ones have the same cells
    python tools/notebooks.py send-time  # one of them

A notebook is a percent-format script; the .ipynb beside it is made from it and never edited by hand.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"


def execute(script: Path):
    """Return the notebook of a script, with outputs."""
    import jupytext
    import nbclient

    notebook = jupytext.read(script)
    notebook.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
    for number, cell in enumerate(notebook.cells):
        if "outputs" in cell:
            cell["outputs"] = [output for output in map(_quiet, cell["outputs"]) if not _noise(output, script)]
        cell["id"] = f"cell-{number}"  # the same on every run, so that a diff shows only what changed
        cell["metadata"] = {}
    notebook.metadata.pop("language_info", None)
    return notebook


def _quiet(output):
    """Return an output without the line that HiGHS prints whatever it is told (HiGHS.jl issue 312)."""
    if output.get("name") == "stdout":
        kept = [line for line in output["text"].splitlines(keepends=True) if "HighsMipSolverData::" not in line]
        output["text"] = "".join(kept)
    return output


def _noise(output, script: Path) -> bool:
    """Return whether an output is empty, or tqdm asking for widgets; any other warning is an error."""
    if output.get("name") == "stdout":
        return not output["text"]
    if output.get("name") != "stderr":
        return False
    if "TqdmWarning" in output["text"] or all(_harmless(line) for line in output["text"].splitlines()):
        return True
    raise SystemExit(f"{script.name} warns:\n{output['text']}")


def _harmless(line: str) -> bool:
    """Return whether a line is what Java says when Spark starts, or what omnireco says of compiling."""
    said = (
        "omnireco: compiling",
        "Using Spark's default log4j",
        "Setting default log",
        "Setting Spark log",
        "To adjust logging",
        "WARNING: Using incubator",
    )
    return not line.strip() or line.startswith(said) or " WARN NativeCodeLoader" in line or " WARN Utils: " in line


def sources(notebook) -> list[tuple[str, str]]:
    """Return what a notebook says, without what it gave."""
    return [(cell["cell_type"], cell["source"]) for cell in notebook.cells]


def lacking(text: str) -> list[str]:
    """Return what a script needs that is not here: a notebook on Spark needs PySpark and Java."""
    if "pyspark" not in text:
        return []
    lacks = [] if importlib.util.find_spec("pyspark") else ["PySpark"]
    return lacks if shutil.which("java") else [*lacks, "Java"]


def main(check: bool, only: list[str]) -> None:
    """Run all scripts."""
    missing = [name for name in ("jupytext", "nbclient", "ipykernel") if importlib.util.find_spec(name) is None]
    if missing:
        print(f"skipped: notebooks need {', '.join(missing)}. Install them: pip install -e '.[dev]'")
        return
    import nbformat

    if unknown := sorted(set(only) - {script.stem for script in FOLDER.glob("*.py")}):
        raise SystemExit(f"no notebook is named {', '.join(unknown)}: see {FOLDER.name}/.")
    for script in sorted(FOLDER.glob("*.py")):
        if only and script.stem not in only:
            continue
        target = script.with_suffix(".ipynb")
        if lacks := lacking(script.read_text(encoding="utf-8")):
            print(f"{script.name}: skipped, as there is no {' and no '.join(lacks)} here")
            continue
        notebook = execute(script)
        if not check:
            nbformat.write(notebook, target)
        elif not target.exists() or sources(nbformat.read(target, as_version=4)) != sources(notebook):
            raise SystemExit(f"{target.name} is older than {script.name}: run make notebooks and commit it.")
        print(f"{script.name}: {len(notebook.cells)} cells ran")


if __name__ == "__main__":
    main("--check" in sys.argv[1:], [name for name in sys.argv[1:] if not name.startswith("-")])
