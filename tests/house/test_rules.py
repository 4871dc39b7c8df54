"""Rules about the code as a whole: siblings, parameters that count, how much a value holds, words in help."""

import ast
import dataclasses
import importlib
import importlib.util
import inspect
import re
from pathlib import Path

import pytest

import omnireco as om
from omnireco._core.contract import Estimator

SOURCE = Path(om.__file__).parent
TESTS = Path(__file__).parents[1]
FACES = [name for name in om.__all__ if inspect.ismodule(getattr(om, name))] + ["plotting", "testing"]


def public():
    """Every class and function that a user can reach, once, by the shortest name."""
    found = {}
    for name in om.__all__:
        found.setdefault(id(getattr(om, name)), (name, getattr(om, name)))
    for room in FACES:
        face = importlib.import_module(f"omnireco.{room}")
        for name in face.__all__:
            found.setdefault(id(getattr(face, name)), (f"{room}.{name}", getattr(face, name)))
    return sorted((label, one) for label, one in found.values() if inspect.isclass(one) or inspect.isroutine(one))


PUBLIC = dict(public())
ESTIMATORS = {
    one.__name__: one
    for one in PUBLIC.values()
    if inspect.isclass(one) and issubclass(one, Estimator) and not inspect.isabstract(one)
}
MOST_METHODS, MOST_PARAMETERS = 15, 10


def methods_of(kind):
    return [name for name in dir(kind) if not name.startswith("_") and inspect.isroutine(getattr(kind, name, None))]


def parameters_of(function):
    """``progress`` says how a verb reports and not what it does, and does not count."""
    return [name for name in inspect.signature(function).parameters if name not in ("self", "cls", "progress")]


def test_there_is_much_to_look_at():
    assert len(PUBLIC) > 200
    assert len(ESTIMATORS) == 32


@pytest.mark.parametrize("label", [label for label, one in PUBLIC.items() if inspect.isclass(one)])
def test_a_value_has_few_methods_and_each_few_parameters(label):
    """Constructors are exempt: those of estimators are sets of hyper-parameters, those of values are their parts."""
    methods = methods_of(PUBLIC[label])
    assert len(methods) <= MOST_METHODS, f"{label} has {len(methods)} methods: {', '.join(methods)}"
    long = {}
    for name in methods:
        try:
            taken = parameters_of(getattr(PUBLIC[label], name))
        except ValueError:  # of a class of the standard library
            continue
        if len(taken) > MOST_PARAMETERS:
            long[name] = taken
    assert long == {}, f"{label}: a value is missing"


@pytest.mark.parametrize("label", [label for label, one in PUBLIC.items() if not inspect.isclass(one)])
def test_a_function_has_few_parameters(label):
    taken = parameters_of(PUBLIC[label])
    assert len(taken) <= MOST_PARAMETERS, f"{label} has {len(taken)} parameters: a value is missing"


HOUSE = re.compile(r"\b(?:doors?|gardens?|hallways?|shop window|the rooms?|a room)\b", re.IGNORECASE)


@pytest.mark.parametrize("label", PUBLIC)
def test_help_is_free_of_the_words_of_the_house(label):
    one = PUBLIC[label]
    texts = {label: one.__doc__ or ""}
    if inspect.isclass(one):
        texts |= {f"{label}.{name}": getattr(one, name).__doc__ or "" for name in methods_of(one)}
    assert {name: HOUSE.findall(text) for name, text in texts.items() if HOUSE.search(text)} == {}


def test_help_of_every_face_is_free_of_them_too():
    faces = [om, *(importlib.import_module(f"omnireco.{room}") for room in FACES)]
    assert [face.__name__ for face in faces if HOUSE.search(face.__doc__) or not face.__doc__] == []


# siblings -------------------------------------------------------------------------------------------

MODELS = {
    name
    for room in ("models", "timing", "choices", "journeys")
    for name, one in vars(getattr(om, room)).items()
    if inspect.isclass(one) and name.endswith("Model") and name != "Model"
} | {"Fallback", "WhatNext", "LiveBandit"}
ROOMS = ("models", "timing", "choices", "journeys", "causal", "planning", "evaluation")


def asked_for(tree):
    """Yield (function, name of a class) for everything that ``isinstance`` or ``check_kind`` is asked about."""
    for call in ast.walk(tree):
        asked = call.func.id if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) else ""
        if asked in ("isinstance", "issubclass", "check_kind"):
            yield from ((asked, one.id) for one in ast.walk(call.args[1]) if isinstance(one, ast.Name))


def test_no_room_asks_for_the_class_of_an_estimator_or_model():
    """``isinstance`` on a sibling branches on who it is: a question to the contract works for a stranger's too.

    ``check_kind`` only refuses what a function cannot take, and the message says what it can: that is no branch.
    """
    files = [path for room in ROOMS for path in sorted((SOURCE / room).rglob("*.py"))]
    assert len(files) > 80
    found = {
        f"{path.relative_to(SOURCE).as_posix()}: {name}"
        for path in files
        for asked, name in asked_for(ast.parse(path.read_text("utf-8")))
        if asked != "check_kind" and name in {*ESTIMATORS, *MODELS}
    }
    assert found == set()


# parameters that count ------------------------------------------------------------------------------


def tables():
    """The tables of the three laws "fit reads every parameter": which estimator, and which of its parameters."""
    loaded = {}
    names = ("test_contract", "test_timing_contract", "test_choices_contract", "test_uplift", "test_returns")
    for name in names:
        spec = importlib.util.spec_from_file_location(name, TESTS / f"unit/{name}.py")
        loaded[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded[name])
    models, timing, choices, uplift, returns = loaded.values()
    read = {name: set(table) for name, table in models.OTHER.items()}
    for estimator, changes in timing.CHANGES:
        read.setdefault(type(estimator).__name__, set()).update(changes)
    for case, changes in choices.CHANGES.items():
        read.setdefault(type(choices.CASES[case][0]).__name__, set()).update(changes)
    read["Uplift"], read["Returns"] = set(uplift.CHANGES), set(returns.CHANGES)
    return read


ELSEWHERE = {  # read by fit, and seen by a test of its own in the three files
    "memory": "refuses what would need more, and changes no number",
    "max_pending": "how many decisions wait for their reward: seen in what a bandit answers, not in a fit",
    "missing": "refuses or ignores names that the data does not have, and changes no number",
    "exact": "an engine: a test compares both, which give the same within rounding",
    "seed": "of timing: draws whom the strengths are learned from, when there are more than thousands",
    "ReadingClock.provider": "a test of its own has mailboxes with machines",
    "ReadingClock.segments": "kept only where segments foresee later answers: a test sees how many are tried",
}


def test_every_parameter_of_every_estimator_is_seen_to_be_read():
    read = tables()
    assert set(read) == set(ESTIMATORS)
    unread = {
        f"{name}.{part.name}"
        for name, kind in ESTIMATORS.items()
        for part in dataclasses.fields(kind)
        if part.init and part.name not in read[name]
    }
    excused = {one for one in unread if one in ELSEWHERE or one.split(".")[1] in ELSEWHERE}
    assert unread - excused == set()
    used = {one if one in ELSEWHERE else one.split(".")[1] for one in excused}
    assert used == set(ELSEWHERE), "an excuse that nobody needs"
