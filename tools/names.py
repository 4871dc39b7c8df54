"""Keep ``docs/reference/names.md`` in step with the code: one row per parameter and column name.

Run as ``PYTHONPATH=src python tools/names.py`` after a change of signatures: rows of names that are gone are
removed, rows of new names are added with the meaning ``?``, which you then write; what is written already stays.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
from pathlib import Path
from typing import Any

import pandas as pd

import omnireco as om

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/reference/names.md"
HEAD = "| name | what it is | type and unit | meaning | for example in |\n|---|---|---|---|---|\n"
ROOMS = (
    "data identity models timing choices causal journeys planning evaluation files live worlds adapters plotting "
    "testing"
)
TYPED_IN = {
    "Weights",
    "LinkRules",
    "WhatNext",
    "Fallback",
    "Company",
    "PerPerson",
    "TouchValue",
    "Rules",
    "Snapshot",
    "Search",
}  # written by callers
NOT_OURS = {
    "age_group",
    "app",
    "email",
    "ndcg",
    "push",
    "store",
    "web",
}  # of data
SHOWN = 3


def faces() -> dict[str, Any]:
    """Every public class and function of the rooms and of the top, by its short name."""
    found: dict[str, Any] = {}
    for module in [om, *(importlib.import_module(f"omnireco.{room}") for room in ROOMS.split())]:
        for name in getattr(module, "__all__", []):
            value = getattr(module, name)
            if inspect.isclass(value) or inspect.isfunction(value):
                found.setdefault(name, value)
    return found


def is_written_by_callers(cls: type) -> bool:
    """Whether a class is an estimator, a rule or a value of parameters; all others are made by the library."""
    rules = [getattr(cls, verb, None) for verb in ("rows", "mask")]
    is_rule = any(inspect.isfunction(rule) and "touches" in inspect.signature(rule).parameters for rule in rules)
    return cls.__name__ in TYPED_IN or inspect.isfunction(getattr(cls, "fit", None)) or is_rule


def callables() -> dict[str, Any]:
    """Every public callable: functions, methods, and the constructors that a caller writes."""
    found: dict[str, Any] = {}
    for name, value in faces().items():
        if inspect.isfunction(value):
            found[name] = value
            continue
        if is_written_by_callers(value):
            found[name] = value
        for verb in dir(value):
            method = inspect.getattr_static(value, verb)
            method = method.__func__ if isinstance(method, classmethod | staticmethod) else method
            ours = inspect.isfunction(method) and method.__module__.startswith("omnireco")
            if ours and not verb.startswith("_"):
                found[f"{name}.{verb}"] = method
    return found


def parameters() -> dict[str, list[str]]:
    """Name of every parameter to the callables that take it."""
    found: dict[str, list[str]] = {}
    for place, value in sorted(callables().items(), key=lambda pair: (pair[0].count("."), pair[0])):
        for parameter in inspect.signature(value).parameters.values():
            named = parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
            if named and parameter.name not in ("self", "cls") and not parameter.name.startswith("_"):
                found.setdefault(parameter.name, []).append(place)
    return found


def columns() -> dict[str, list[str]]:
    """Name of every column that a value of the gallery shows in one of its frames, to the values that do."""
    spec = importlib.util.spec_from_file_location("gallery_of_values", ROOT / "tests/contract/gallery.py")
    assert spec is not None
    assert spec.loader is not None
    gallery = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(gallery)
    found: dict[str, set[str]] = {}
    for make in gallery.VALUES.values():
        value = make()
        for place, frame in frames_of(value):
            for column in frame.columns:
                name = re.sub(r"^(consent|reachable)_.*", r"\1_<channel>", str(column))
                if name not in NOT_OURS:
                    found.setdefault(name, set()).add(place)
    return {name: sorted(places) for name, places in found.items()}


def frames_of(value: Any) -> list[tuple[str, pd.DataFrame]]:
    """The frames that a value holds or gives without being asked for more."""
    found = []
    for name in dir(type(value)) + list(getattr(value, "__dataclass_fields__", ())):
        if name.startswith("_"):
            continue
        part = getattr(value, name)
        if inspect.ismethod(part) and "DataFrame" in str(inspect.signature(part).return_annotation):
            required = [p for p in inspect.signature(part).parameters.values() if p.default is p.empty]
            try:
                part = None if required else part()
            except om.errors.ParameterError:  # this value was made without what the frame needs
                continue
        if isinstance(part, pd.DataFrame):
            found.append((f"{type(value).__name__}.{name}", part))
    return found


def written() -> dict[str, list[str]]:
    """The rows of the page: name to its cells."""
    rows = re.findall(r"^\| `(.+?)` \|(.*)\|$", PAGE.read_text("utf-8"), re.MULTILINE)
    return {name: [cell.strip() for cell in rest.split(" | ")] for name, rest in rows}


def row(name: str, cells: list[str]) -> str:
    return f"| `{name}` | " + " | ".join(cells) + " |"


def wanted() -> dict[str, list[str]]:
    """The rows the page should have: meanings as they are written, the rest as the code is."""
    has, takes, shows = written(), parameters(), columns()
    rows = {}
    for name in sorted({*takes, *shows}, key=str.lower):
        what = ", ".join(word for word, names in (("parameter", takes), ("column", shows)) if name in names)
        places = takes.get(name, [])[: SHOWN if name not in shows else SHOWN - 1] + shows.get(name, [])[:1]
        _, unit, meaning, *_ = has.get(name, ["", "?", "?"])
        rows[name] = [what, unit, meaning, ", ".join(f"`{place}`" for place in places)]
    return rows


def main() -> None:
    """Write the page anew; its text above the table stays."""
    before = PAGE.read_text("utf-8").split(HEAD)[0]
    rows = wanted()
    PAGE.write_text(before + HEAD + "".join(row(*pair) + "\n" for pair in rows.items()), "utf-8")
    print("\n".join(name for name, cells in rows.items() if "?" in cells[1:3]) or "every name has a meaning")


if __name__ == "__main__":
    main()
