# ruff: noqa: E501 - tables
"""Every public value makes the round trip through a file, in every state it can be built in, equal in every part."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import pkgutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import omnireco as om
from omnireco.files import Part
from omnireco.files.io import load_mapped
from omnireco.files.kinds import FORMS

_SPEC = importlib.util.spec_from_file_location("gallery", Path(__file__).parent / "gallery.py")
gallery = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(gallery)

NOT_SAVED = {
    "Adapted": "frames and counts of one reading of a source: saved as frames, or as the values made of them",
    "AsOf": "an index of a log: made again from it",
    "EventScan": "names files that lie elsewhere",
    "LazyEvents": "a question to an engine, which holds the events",
    "ItemIndex": "tables for searching, made again from the factors",
    "RankedLists": "what a metric is handed",
    "Paths": "journeys of a Dataset, read again from it in one pass",
    "History": "a row of a matrix that takes events: made again from the matrix",
    "Increments": "one line from an uplift model and a send time model, which are saved",
    "Linear": "a part of an uplift model, saved with it",
    "Choices": "which touches are one offer, by a constraint",
    "Rows": "what a constraint compiles to",
    "Batch": "what the blocks of one call of a bandit share",
    "Policy": "how a bandit decides now, made again from its state",
    "Solved": "what a plan is made from, and made again with it",
    "Sources": "a part of Candidates, saved with them",
    "Past": "a part of Candidates, saved with them",
    "Isotonic": "a part of a ranker, saved with it",
    "Loss": "a part of a factor model, saved with it",
    "Links": "links before they are joined: Identities keeps them",
    "Frame": "a door's view of a caller's frame",
    "Explored": "a part of a plan, saved with it",
    "Verdict": "an answer about one message, given again by the plan",
    "WhatIf": "two plans of the same candidates, each of which is saved",
    "Snapshot": "made known by its own room, and saved by its own verb: tests/unit/test_snapshot.py",
    "Profile": "made known by its own room: tests/unit/test_refresh.py",
    "Ready": "a part of a Snapshot, saved with it",
    "Person": "made again from the events in a store",
    "Receipt": "numbers for a log or a letter",
    "Rules": "parameters of a live service, written in its code",
    "World": "frames and their truth: simulate makes them again from the seed",
}
ROOMS = (
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
    "live",
)
FORMS_BY_NAME = {form.name: form for form in FORMS}
INNER = {  # parts of models, made and saved by them
    "Answers", "Calendar", "Clocks", "Counted", "Curve", "DelayMixture", "EventColumns", "Facts", "Field", "Found", "Held", "Mix",
    "Pasts", "Population", "Posteriors", "Quadratic", "Scorer", "Setting", "Table", "Trees", "Truth",
}  # fmt: skip


def public_values():
    """Every dataclass that a file of a room defines, or that stands at the front door or in the face of a room."""
    found = [getattr(om, name) for name in om.__all__]
    for room in ROOMS:
        package = importlib.import_module(f"omnireco.{room}")
        found += vars(package).values()
        for file in pkgutil.walk_packages(package.__path__, f"omnireco.{room}."):
            found += vars(importlib.import_module(file.name)).values()
    kinds = {one for one in found if isinstance(one, type) and dataclasses.is_dataclass(one)}
    ours = {one for one in kinds if one.__module__.startswith("omnireco.") and "._" not in one.__module__}
    return sorted(
        (one for one in ours if one.__name__[0] != "_" and not issubclass(one, Part)), key=lambda one: one.__name__
    )


@pytest.mark.parametrize("kind", public_values(), ids=lambda kind: kind.__name__)
def test_every_public_value_has_a_file_form_or_a_reason(kind):
    has_form = any(form.kind is kind for form in FORMS)
    assert has_form != (kind.__name__ in NOT_SAVED or kind.__name__ in INNER)


@pytest.mark.parametrize(
    "name", [name for name, form in FORMS_BY_NAME.items() if not callable(form.given) and not form.take]
)
def test_every_field_is_declared(name):
    """A field that is added to a value and not to its form would be lost in silence."""
    form = FORMS_BY_NAME[name]
    fields = {field.name for field in dataclasses.fields(form.kind) if field.init and field.name[0] != "_"}
    built = {"items", "popularity"} if form.kind.__name__ == "ChannelModel" else set()  # those of its base
    built |= {"data"} if form.kind.__name__ == "Requests" else set()  # whom to ask about is no part of a file
    assert set(form.parts) == fields - built


def same(a, b, where="value"):
    """Raise unless two values are equal in every part, array by array, type by type."""
    assert type(a) is type(b) or isinstance(a, Mapping), where
    if isinstance(a, np.ndarray):
        assert a.dtype == b.dtype, where
        np.testing.assert_array_equal(a, b, err_msg=where)
    elif sp.issparse(a):
        for part in ("data", "indices", "indptr"):
            same(getattr(a, part), getattr(b, part), f"{where}.{part}")
        assert a.shape == b.shape, where
    elif isinstance(a, pd.DataFrame):
        pd.testing.assert_frame_equal(a, b)
    elif isinstance(a, om.data.Vocabulary):
        assert (a.ids.dtype, a) == (b.ids.dtype, b), where
    elif isinstance(a, Mapping):
        assert list(a) == list(b), where
        for key in a:
            same(a[key], b[key], f"{where}[{key!r}]")
    elif isinstance(a, (tuple, list)):
        assert len(a) == len(b), where
        for position, pair in enumerate(zip(a, b, strict=True)):
            same(*pair, f"{where}[{position}]")
    elif isinstance(a, om.choices.LiveBandit):
        for pair in zip(
            (a.bandit, a.arms, *a.parts(), a.counts()), (b.bandit, b.arms, *b.parts(), b.counts()), strict=True
        ):
            same(*pair, where)
    elif dataclasses.is_dataclass(a):
        for field in dataclasses.fields(a):
            if not field.name.startswith("_"):
                same(getattr(a, field.name), getattr(b, field.name), f"{where}.{field.name}")
    else:
        assert a == b or (a != a and b != b), where


@pytest.mark.parametrize("name", [*gallery.VALUES, *gallery.STATES])
def test_what_is_loaded_equals_what_was_saved(name, tmp_path):
    value = {**gallery.VALUES, **gallery.STATES}[name]()
    loaded = om.load(om.save(value, tmp_path / "value"))
    assert repr(loaded) == repr(value)
    same(value, loaded)
    assert (tmp_path / "value").read_bytes() == om.save(loaded, tmp_path / "again").read_bytes()


@pytest.mark.parametrize("name", [*gallery.VALUES, *gallery.STATES])
def test_what_lies_in_a_mapped_file_equals_what_was_saved(name, tmp_path):
    """Arrays are read where they lie, aligned and read-only; nothing that makes a value of them writes to them."""
    value = {**gallery.VALUES, **gallery.STATES}[name]()
    mapped = load_mapped(om.save(value, tmp_path / "value"))
    same(value, mapped)
    assert (tmp_path / "value").read_bytes() == om.save(mapped, tmp_path / "again").read_bytes()


def test_the_gallery_holds_every_kind_but_estimators():
    shown = {type(make()) for make in (*gallery.VALUES.values(), *gallery.STATES.values())}
    assert not {form.kind for form in FORMS if not callable(form.given)} - shown


@pytest.mark.parametrize("form", [form for form in FORMS if callable(form.given)], ids=lambda f: f.name)
def test_estimators_and_rules_come_back_equal(form, tmp_path):
    needed = {
        "Blend": {"models": {"a": om.EASE()}}, "Ranker": {"models": [om.EASE()]}, "Budget": {"channel": "p", "cost": 1, "total": 2},
        "Capacity": {"channel": "p", "limit": 3}, "FrequencyCap": {"n": 1, "per": "7D"}, "QuietHours": {"start": "21:00", "end": "08:00"},
        **{name: {"balances": gallery._amounts(), "rewards": {"a": 3.0}} for name in ("Affordable", "Points")},
        "Available": {"catalog": gallery.world().catalog}, "InStock": {"stock": gallery._pieces()}, "Stock": {"stock": gallery._pieces(), "certainty": 0.9},
        "CoolDown": {"length": "7D", "log": gallery.world().log, "events": ["view"]}, "NotDisliked": {"log": gallery.world().log, "events": "view"},
        "ServiceWindow": {"log": gallery.world().log, "events": "view", "channels": "chat"}, "OpeningHours": {"shops": gallery._shops()},
        "LegalHours": {"hours": {"FR": {"mon-fri": ["10:00-13:00", "14:00-20:00"]}}}, "Promised": {"ledger": gallery._ledger()},
        "Purpose": {"purpose": "news", "data": om.Audience.from_frame(pd.DataFrame({"user_id": [1], "timezone": "UTC", "consent_push_news": True}))},
        "FairReach": {"by": "region", "least": 0.5}, "Spend": {"total": 9, "reward": {"a": 1.0}}, "Volume": {"value": "spring", "least": 3},
        "Price": {"constraint": "cap", "row": "a", "used": 1.0, "limit": 2.0, "price": 0.5},
        "SampledNegatives": {"n": 9}, "Feature": {"name": "zone", "levels": ("x", "y")},
        "WhatNext": {"model": gallery.world().als}, "ResolveReport": dict.fromkeys(om.data.ResolveReport.__dataclass_fields__, 1),
    }  # fmt: skip
    if form.name in ("LearnedBlend", "LearnedWeights"):
        return  # in the gallery
    value = form.kind(**needed.get(form.name, {}))
    same(value, om.load(om.save(value, tmp_path / "value")))
