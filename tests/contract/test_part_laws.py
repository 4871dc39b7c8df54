# ruff: noqa: E501 - tables
"""Laws of what values declare: memory, people, erasing, and classes of a stranger."""

from __future__ import annotations

import dataclasses
import importlib.util
import io
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import omnireco as om
from omnireco.errors import IdKindError, ParameterError, SchemaError, StorageError
from omnireco.files.kinds import FORMS
from omnireco.testing import differences

_SPEC = importlib.util.spec_from_file_location("gallery", Path(__file__).parent / "gallery.py")
gallery = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(gallery)

VALUES = {**gallery.VALUES, **gallery.STATES}
REFUSED = {  # nobody can be taken out of these by rows, and the error names the line that makes them again
    "neighbor model": "UserKNN",
    "neighbours by person": "UserKNN",
    "session model": "UserKNN",
    "next basket model": "NextBasket",
    "plan": "om.plan",
    "report": "om.evaluate",
    "cell": "om.evaluate",
    "channel comparison": "om.evaluate",
}


def arrays_in(value: Any, seen: set[int]) -> int:
    """Return the bytes of every array that a value holds in its fields, each once."""
    if id(value) in seen or isinstance(value, type):
        return 0
    seen.add(id(value))
    if isinstance(value, np.ndarray):
        return value.nbytes if value.dtype != object else value.size * 8
    if sp.issparse(value):
        return sum(arrays_in(part, seen) for part in (value.data, value.indices, value.indptr))
    if isinstance(value, Mapping):
        return sum(arrays_in(one, seen) for one in value.values())
    if isinstance(value, (tuple, list)):
        return sum(arrays_in(one, seen) for one in value)
    if dataclasses.is_dataclass(value):
        return sum(
            arrays_in(getattr(value, one.name), seen)
            for one in dataclasses.fields(value)
            if one.init and one.name[0] != "_"
        )
    return 0


@pytest.mark.parametrize("name", VALUES)
def test_the_memory_of_the_parts_is_that_of_the_arrays_at_least(name):
    value = VALUES[name]()
    held = om.files.memory(value)
    assert all(type(one) is int and one >= 0 for one in held.values())
    assert sum(held.values()) >= arrays_in(value, set())


@pytest.mark.parametrize(
    "name", [*gallery.VALUES, "activity by attributes", "activity by given segments", "lists, padded", "rules"]
)
def test_whoever_is_erased_is_gone_from_every_vocabulary_and_the_file(name, tmp_path):
    value = VALUES[name]()
    people = {text: one for one in om.files.people_in(value).values() for text in [one.ids.dtype == object] if len(one)}
    if name in REFUSED:
        with pytest.raises(ParameterError, match=REFUSED[name]) as caught:
            om.files.erase(value, next(iter(people.values())).ids[:1] if people else [1])
        assert "erase: a " in str(caught.value)
        return
    for vocabulary in people.values():
        for some in (vocabulary.ids[:1], vocabulary.ids[1::2], vocabulary.ids):
            before = om.save(value, tmp_path / "before").read_bytes()
            rest = om.files.erase(value, some)
            gone = set(some)
            for left in om.files.people_in(rest).values():
                assert not gone & set(left.ids)
            assert om.save(value, tmp_path / "before").read_bytes() == before  # the value itself is as it was
            loaded = om.load(om.save(rest, tmp_path / "rest"))
            assert repr(loaded) == repr(rest)
            assert sum(om.files.memory(rest).values()) <= sum(om.files.memory(value).values())


def renamed(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with people by names that cannot be anything else in a file."""
    return frame.assign(user_id=[f"person-{one}-of-the-law" for one in frame["user_id"]])


def test_the_bytes_of_a_file_hold_no_id_of_whom_was_erased(tmp_path):
    world = gallery.world().world
    log = om.EventLog.from_frame(renamed(world.events), itemless="keep")
    sent, audience = om.MessageLog.from_frame(renamed(world.messages)), om.Audience.from_frame(renamed(world.users))
    lists = om.Popularity().fit(log.matrix()).recommend(log.matrix(), k=3)
    data = om.Dataset(log, messages=sent, audience=audience)
    timing = om.SendTime().fit(data)
    touches = om.candidates(
        lists,
        data,
        timing,
        om.slots("2025-03-10", days=1),
        channels=["email"],
        eligibility=[om.QuietHours("21:00", "08:00")],
    )
    fatigue, requests = om.timing.Fatigue().fit(sent), om.Requests.from_log(log, per_user=1).requests
    everywhere = [
        one for one in sent.users.ids if one in lists.users and one in audience.users and one in touches.touches.users
    ]
    who, other = everywhere[:3], everywhere[3]
    for value in (log, sent, audience, data, log.matrix(), lists, timing, touches, fatigue, requests):
        assert who[0].encode() in om.save(value, tmp_path / "value").read_bytes()
        content = om.save(om.files.erase(value, who), tmp_path / "value").read_bytes()
        assert not any(one.encode() in content for one in who)
        assert other.encode() in content


def test_an_erased_log_is_the_log_of_the_other_rows():
    w = gallery.world()
    who = list(w.log.users.ids[::3])
    for value in (w.log, w.sent, w.audience, w.lists, w.x):
        frame = value.to_frame()
        pd.testing.assert_frame_equal(
            om.files.erase(value, who).to_frame().reset_index(drop=True),
            frame[~frame["user_id"].isin(who)].reset_index(drop=True),
        )


def test_answers_for_the_others_stay():
    w = gallery.world()
    who = list(w.audience.users.ids[::2])
    rest = [one for one in w.activity.users.ids if one not in set(who)]
    erased = om.files.erase(w.activity, who)
    assert erased.hour_of_week(rest).tobytes() == w.activity.hour_of_week(rest).tobytes()
    timing, audience = om.files.erase(w.send_time, who), om.files.erase(w.audience, who)
    rows = np.flatnonzero(~np.isin(w.audience.users.ids, who))
    before = w.send_time.slot_probability(w.audience, rows, "email", w.slots.at)
    after = timing.slot_probability(audience, np.arange(len(audience)), "email", w.slots.at)
    np.testing.assert_allclose(after, before, rtol=0.01)  # beside people, their mean activity counts, now of fewer


def test_addresses_of_whom_is_erased_go_with_them():
    known = gallery.VALUES["identities"]()
    person = known.people.ids[:1]
    rest = om.files.erase(known, person)
    assert len(rest.people) == len(known.people) - 1
    assert set(rest.ids.ids) < set(known.ids.ids)


def test_nobody_to_erase_gives_the_value_itself():
    log = gallery.world().log
    assert om.files.erase(log, []) is log
    assert om.files.erase(log, [10**9]) is log
    assert om.files.erase(gallery.world().als, [1]) is gallery.world().als


def test_ids_of_another_kind_are_no_silent_nothing():
    with pytest.raises(IdKindError, match=r"\[int\(one\) for one in user_ids\]"):
        om.files.erase(gallery.world().log, ["1"])
    with pytest.raises(ParameterError, match=r"write \[user_id\]"):
        om.files.erase(gallery.world().log, "1")


def test_candidates_with_a_rule_of_a_stranger_are_not_erased_by_half():
    w = gallery.world()
    touches = om.candidates(
        w.lists, om.Dataset(audience=w.audience), w.send_time, w.slots, channels=["email"], eligibility=[Mornings()]
    )
    with pytest.raises(ParameterError, match="register"):
        om.files.erase(touches, w.audience.users.ids[:1])


@dataclass(frozen=True)
class Mornings(om.planning.rules.Eligibility):
    """A rule of a stranger."""

    def mask(self, touches):
        return np.ones(len(touches), np.bool_)


@dataclass(frozen=True, eq=False)
class Likes(om.models.Model):
    """A model of a stranger: items by a number each, history or not."""

    items: om.data.Vocabulary
    popularity: np.ndarray
    bonus: float = 1.0
    parts: ClassVar = {"items": om.files.Ids(), "popularity": om.files.numbers("items", dtype=np.float32)}

    def __post_init__(self):
        om.files.declare(self)

    def _rank(self, histories, *, k, exclude, eligible, threads):
        scores = self._score(histories, np.arange(len(self.items)))
        if exclude is not None:
            scores[exclude.nonzero()] = -np.inf
        codes = np.argsort(-scores, axis=1, kind="stable")[:, :k].astype(np.int32)
        return codes, np.take_along_axis(scores, codes, axis=1)

    def _score(self, histories, codes):
        return np.tile(self.popularity[codes] * np.float32(self.bonus), (histories.shape[0], 1))

    def _similar(self, codes, *, k):
        raise NotImplementedError


@dataclass(frozen=True)
class LikesOf:
    """Its estimator."""

    bonus: float = 1.0

    def fit(self, x):
        return Likes(x.items, np.asarray(x.csr.sum(axis=0), np.float32).ravel(), self.bonus)


@dataclass(frozen=True, eq=False)
class Notes:
    """Something per person, of a stranger."""

    users: om.data.Vocabulary
    user: np.ndarray
    note: Any
    names: tuple[str, ...] = ()


@pytest.fixture
def registered():
    om.files.register(Likes)
    om.files.register(LikesOf)


def test_a_model_of_a_stranger_alone_and_inside_others(registered, tmp_path):
    x = gallery.world().x
    likes = LikesOf(2.0).fit(x)
    loaded = om.load(om.save(likes, tmp_path / "likes"))
    assert type(loaded) is Likes
    assert loaded.bonus == 2.0
    assert loaded.recommend(x, k=5).scores.tobytes() == likes.recommend(x, k=5).scores.tobytes()
    assert not loaded.popularity.flags.writeable
    blend = om.Blend(models={"likes": LikesOf(), "ease": om.EASE()})
    assert om.load(om.save(blend, tmp_path / "blend")).models["likes"] == LikesOf()
    model = om.models.BlendModel.of({"likes": likes, "als": gallery.world().als})
    again = om.load(om.save(model, tmp_path / "model"))
    assert again.recommend(x, k=5).scores.tobytes() == model.recommend(x, k=5).scores.tobytes()
    fallback = om.models.Fallback({"als": gallery.world().als, "likes": likes})
    assert type(om.load(om.save(fallback, tmp_path / "fallback")).steps["likes"]) is Likes
    assert om.files.memory(again)["models"] > likes.popularity.nbytes


@dataclass(frozen=True, eq=False)
class Fans(Likes):
    """A model of a stranger that keeps people."""

    users: om.data.Vocabulary | None = None
    parts: ClassVar = Likes.parts | {"users": om.files.Ids(people=True)}

    _rank = om.models.Model._rank


class FansOf(LikesOf):
    def fit(self, data, *, threads=None, progress=False):
        x = data if isinstance(data, om.Interactions) else data.matrix()
        return Fans(x.items, np.asarray(x.csr.sum(axis=0), np.float32).ravel(), self.bonus, x.users)


@pytest.mark.parametrize("outer", ["blend", "blend of blends", "fallback", "what next", "cross-channel", "ranker"])
def test_people_of_a_stranger_inside_others_are_erased(outer, tmp_path):
    om.files.register(Fans)
    om.files.register(FansOf)
    w = gallery.world()
    log = om.EventLog.from_frame(renamed(w.world.events))
    data, fans = om.Dataset(log), FansOf()
    value = {
        "blend": lambda: om.Blend(models={"f": fans, "e": om.EASE()}).fit(data),
        "blend of blends": lambda: om.Blend(models={"b": om.Blend(models={"f": fans}), "e": om.EASE()}).fit(data),
        "fallback": lambda: om.models.Fallback({"f": fans.fit(data), "p": om.Popularity().fit(data)}),
        "what next": lambda: om.models.WhatNext(model=fans.fit(data)),
        "cross-channel": lambda: om.models.CrossChannel(estimator=fans).fit(data),
        "ranker": lambda: om.Ranker(models=[fans, om.EASE()], n_candidates=8, n_requests=50).fit(data),
    }[outer]()
    who = log.users.ids[:3]
    assert all(one.encode() in om.save(value, tmp_path / "value").read_bytes() for one in who)
    left = om.files.erase(value, who)
    assert not any(one.encode() in om.save(left, tmp_path / "left").read_bytes() for one in who)
    assert differences(om.load(tmp_path / "left"), left) == []
    assert sum(om.files.memory(left).values()) > 0


def test_a_value_of_a_stranger_with_people_is_erased(tmp_path):
    om.files.register(Notes, parts={"user": om.files.coded("users", "n"), "note": om.files.numbers("n")})
    users = om.data.Vocabulary.from_ids(["ann", "bob"])
    notes = Notes(users, np.array([0, 1, 0], np.int32), np.array([1.0, 2.0, 3.0]), ("a",))
    rest = om.load(om.save(om.files.erase(notes, ["ann"]), tmp_path / "notes"))
    assert (rest.users.ids.tolist(), rest.user.tolist(), rest.note.tolist(), rest.names) == (
        ["bob"],
        [0],
        [2.0],
        ("a",),
    )
    assert list(om.files.people_in(notes)) == ["users"]


def test_what_a_stranger_declared_and_rows_cannot_be_cut_from():
    @dataclass(frozen=True, eq=False)
    class Podium:
        users: om.data.Vocabulary
        place: np.ndarray

    om.files.register(Podium, parts={"users": om.files.Ids(people=True), "place": om.files.coded("users", 3)})
    podium = Podium(om.data.Vocabulary.from_ids(["ann", "bob", "cat", "dan"]), np.array([0, 1, 2], np.int32))
    assert om.files.erase(podium, ["dan"]).users.ids.tolist() == ["ann", "bob", "cat"]
    with pytest.raises(ParameterError, match="place has 3 rows"):
        om.files.erase(podium, ["ann"])


@dataclass(frozen=True, eq=False)
class Sets:
    """A list of items per request; two of them in one value know other items."""

    items: om.data.Vocabulary
    indptr: np.ndarray
    item: np.ndarray
    parts: ClassVar = {
        "items": om.files.Ids(),
        "indptr": om.files.Offsets("users", "cells"),
        "item": om.files.coded("items", "cells"),
    }


@dataclass(frozen=True, eq=False)
class Baskets:
    users: om.data.Vocabulary
    given: Sets
    hidden: Sets | None
    facts: pd.DataFrame
    parts: ClassVar = {
        "users": om.files.Ids(people=True),
        "given": om.files.Apart(om.files.Record(Sets)),
        "hidden": om.files.Maybe(om.files.Apart(om.files.Record(Sets))),
        "facts": om.files.Frame(people=("user_id",)),
    }

    def __post_init__(self):
        om.files.declare(self)


def test_parts_with_dimensions_of_their_own_and_frames_of_people(tmp_path):
    om.files.register(Baskets)
    known = om.data.Vocabulary.from_ids
    given = Sets(known(["a", "b", "c"]), np.array([0, 2, 3]), np.array([0, 1, 2], np.int32))
    hidden = Sets(known(["z"]), np.array([0, 0, 1]), np.array([0], np.int32))
    facts = pd.DataFrame({"user_id": ["bob", None, "ann", "cat"], "age": [1.0, 2.0, 3.0, 4.0]})
    value = Baskets(known(["ann", "bob"]), given, hidden, facts)
    rest = om.load(om.save(om.files.erase(value, ["ann", "cat"]), tmp_path / "value"))
    assert (rest.users.ids.tolist(), rest.facts["age"].tolist()) == (["bob"], [1.0, 2.0])
    assert (rest.given.indptr.tolist(), rest.given.item.tolist()) == ([0, 1], [2])
    assert (rest.hidden.indptr.tolist(), rest.hidden.item.tolist()) == ([0, 1], [0])
    assert list(om.files.people_in(value)) == ["users", "facts.user_id"]
    with pytest.raises(SchemaError, match=r"item must have the shape|must rise"):
        Baskets(value.users, dataclasses.replace(given, item=given.item[:1]), None, facts)


def test_what_is_not_registered_names_the_call(tmp_path):
    @dataclass(frozen=True)
    class Unheard:
        n: int = 1

    for value in (Unheard(), om.Blend(models={"a": om.EASE()}), om.models.WhatNext(model=gallery.world().als)):
        if isinstance(value, om.Blend):
            object.__setattr__(value, "models", {"a": Unheard()})
        elif not isinstance(value, Unheard):
            object.__setattr__(value, "model", Unheard())
        with pytest.raises(ParameterError, match=r"om\.files\.register\(Unheard"):
            om.save(value, tmp_path / "value")
    with pytest.raises(ParameterError, match=r"om\.files\.register\(Unheard"):
        om.files.memory(Unheard())
    assert not list(tmp_path.iterdir())


def test_a_file_of_a_class_that_another_process_knows(registered, tmp_path):
    likes = LikesOf().fit(gallery.world().x)
    for value in (likes, om.models.BlendModel.of({"likes": likes, "als": gallery.world().als})):
        path = om.save(value, tmp_path / "likes")
        script = f"import omnireco as om\ntry:\n    om.load({str(path)!r})\nexcept om.errors.StorageError as error:\n    print(error)"
        found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert "om.files.register(Likes)" in found.stdout


@pytest.mark.parametrize(
    ("change", "message"),
    [({"popularity": np.ones(3, np.float32)}, "popularity must have the shape"), ({"popularity": np.full(20, np.nan, np.float32)}, "holds NaN"),
     ({"popularity": np.ones(20)}, "is not of type float32")],
)  # fmt: skip
def test_a_hostile_file_of_a_registered_class_is_refused(registered, change, message, tmp_path):
    spec = importlib.util.spec_from_file_location("fuzz_files", Path(__file__).parents[1] / "fuzz_files.py")
    fuzz = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fuzz)
    path = om.save(LikesOf().fit(gallery.world().x), tmp_path / "likes")
    header, arrays = fuzz.taken_apart(path)
    fuzz.put_together(path, header, arrays | change)
    with pytest.raises(StorageError, match=message):
        om.load(path)


def test_constructors_of_a_stranger_check_by_declaration():
    with pytest.raises(SchemaError, match="Likes: popularity must have the shape"):
        Likes(om.data.Vocabulary.from_ids(["a"]), [1.0, 2.0])
    assert Likes(om.data.Vocabulary.from_ids(["a"]), [1.0]).popularity.dtype == np.float32


def test_what_cannot_be_registered():
    @dataclass
    class Open:
        n: int = 1

    @dataclass(frozen=True)
    class Arrays:
        items: om.data.Vocabulary
        weight: np.ndarray

    @dataclass(frozen=True)
    class Report:
        n: int = 1

    with pytest.raises(ParameterError, match="frozen dataclass"):
        om.files.register(Open)
    with pytest.raises(ParameterError, match="frozen dataclass"):
        om.files.register(3)
    with pytest.raises(ParameterError, match="nothing says what weight of Arrays may be"):
        om.files.register(Arrays)
    with pytest.raises(ParameterError, match="has no field 'price'"):
        om.files.register(Arrays, parts={"price": om.files.numbers("items")})
    with pytest.raises(ParameterError, match="parts must hold parts"):
        om.files.register(Arrays, parts={"weight": np.float32})
    with pytest.raises(ParameterError, match="belongs to another class"):
        om.files.register(Report, name="report")
    with pytest.raises(ParameterError, match="name must be a short text"):
        om.files.register(Report, name="a/b")
    with pytest.raises(ParameterError, match="one of omnireco's own"):
        om.files.register(om.models.FactorModel)


def test_every_vocabulary_called_users_is_marked_as_people():
    """What is not marked is not erased: a new value with users must say so."""
    for form in FORMS:
        users = dict(form.parts).get("users")
        assert users is None or users.people, form.name


def test_no_name_in_a_file_leads_to_an_import(registered, tmp_path):
    path = om.save(LikesOf().fit(gallery.world().x), tmp_path / "likes")
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
        assert b"test_part_laws" not in archive.read("header.json")
