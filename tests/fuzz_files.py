# ruff: noqa: E501 - a table of verbs reads best with a line each
"""Files with hostile content and checksums that agree: refused, or loaded and used without crash, hang or much memory.

By hand, over every kind of value: ``python tests/fuzz_files.py 10000``. A short form runs with the other tests.
"""

from __future__ import annotations

import collections
import contextlib
import copy
import functools
import importlib.util
import inspect
import io
import json
import os
import random
import resource
import signal
import sys
import tempfile
import traceback
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

import omnireco as om
from omnireco.files.io import _checksum

SECONDS = 20  # for one file
SPARE = 256 << 20  # bytes beyond twice the file: what the process takes for its own work
SMALL = [
    None,
    True,
    -1,
    0,
    1,
    7,
    2**31,
    2**63,
    -(2**63),
    10**30,
    1e308,
    -0.5,
    "",
    "x",
    "nan",
    "inf",
    [],
    {},
    [1, 2],
    {"a": 1},
]


def load_gallery() -> Any:
    spec = importlib.util.spec_from_file_location("gallery", Path(__file__).parent / "contract" / "gallery.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def taken_apart(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    with zipfile.ZipFile(path) as archive:
        header = json.loads(archive.read("header.json"))
        arrays = {}
        for name in header["checksums"]:
            with archive.open(name + ".npy") as entry:
                arrays[name] = np.lib.format.read_array(entry)
    return header, arrays


def put_together(path: Path, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    header["checksums"] = {name: _checksum(array) for name, array in arrays.items()}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("header.json", json.dumps(header))
        for name, array in arrays.items():
            held = io.BytesIO()
            np.lib.format.write_array(held, array, allow_pickle=False)
            archive.writestr(name + ".npy", held.getvalue())


def extreme(array: np.ndarray, draw: random.Random) -> Any:
    if array.dtype.kind == "f":
        return draw.choice([np.nan, np.inf, -np.inf, 1e308, -1e308, 1e-320, -1.0, 0.0])
    if array.dtype == np.bool_:
        return draw.choice([True, False])
    ends = np.iinfo(array.dtype)
    return draw.choice(
        [
            ends.min,
            ends.max,
            ends.max // 2,
            max(ends.min, -1),
            max(ends.min, -2),
            0,
            min(ends.max, 200),
            array.size % 127,
        ]
    )


def mutate(header: dict[str, Any], arrays: dict[str, np.ndarray], draw: random.Random) -> str:
    """Change one or two things in place; return what."""
    told = []
    for _ in range(draw.choice([1, 1, 1, 2])):
        if arrays and draw.random() < 0.75:
            name = draw.choice(sorted(arrays))
            arrays[name], how = changed(arrays[name], arrays, draw)
            told.append(f"{name}: {how}")
        else:
            told.append(f"fields: {change_field(header['fields'], draw)}")
    return "; ".join(told)


def changed(array: np.ndarray, arrays: dict[str, np.ndarray], draw: random.Random) -> tuple[np.ndarray, str]:
    array = array.copy()
    how = draw.choice(
        ["one", "one", "some", "all", "bytes", "cut", "none", "twice", "axis", "type", "order", "back", "other", "turn"]
    )
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        flat = array.reshape(-1)
        if how in ("one", "some", "all") and flat.size:
            some = {"one": 1, "some": max(1, flat.size // 3), "all": flat.size}[how]
            places = draw.sample(range(flat.size), some) if some < 5000 else slice(None)
            value = extreme(array, draw)
            flat[places] = value
            return array, f"{how} {value}"
        if how == "bytes" and flat.size:
            raw = flat.view(np.uint8)
            for _ in range(8):
                raw[draw.randrange(raw.size)] = draw.randrange(256)
        elif how == "cut":
            array = array[: draw.randrange(len(array) + 1)] if array.ndim else array
        elif how == "none":
            array = array[:0] if array.ndim else array
        elif how == "twice" and array.ndim:
            array = np.concatenate([array, array])
        elif how == "axis":
            array = array[None] if draw.random() < 0.5 else array.reshape(-1)
        elif how == "type":
            array = array.astype(
                draw.choice([np.int8, np.int32, np.int64, np.uint64, np.float32, np.float64, np.bool_])
            )
        elif how == "order" and array.ndim:
            array = array[np.random.default_rng(draw.randrange(1 << 30)).permutation(len(array))]
        elif how == "back" and array.ndim:
            array = array[::-1].copy()
        elif how == "other":
            array = arrays[draw.choice(sorted(arrays))]
        elif how == "turn":
            array = array.T.copy()
    return array, how


def change_field(fields: Any, draw: random.Random) -> str:
    """Replace, remove or add one thing in the tree of small fields."""
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        for key in node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
            places.append((node, key))
            walk(node[key])

    walk(fields)
    if not places or draw.random() < 0.05:
        fields["strange"] = copy.deepcopy(draw.choice(SMALL))
        return "a strange one"
    node, key = draw.choice(places)
    if draw.random() < 0.1:
        del node[key]
        return f"without {key}"
    node[key] = copy.deepcopy(draw.choice(SMALL))  # a list that is put into itself has no end
    return f"{key} is {node[key]!r}"


def questions(value: Any) -> list[Any]:
    """Return every public property and every public verb that needs no argument, as functions without any."""
    asked: list[Any] = []
    for name in dir(type(value)):
        held = inspect.getattr_static(type(value), name)
        if name[0] == "_" or isinstance(held, (classmethod, staticmethod)) or inspect.ismemberdescriptor(held):
            continue
        if isinstance(held, property):
            asked.append(functools.partial(getattr, value, name))
        elif inspect.isfunction(held) and not needed(held):
            asked.append(getattr(value, name))
    return asked


def needed(function: Any) -> list[str]:
    """Return the arguments that a function cannot do without, beside self."""
    several = list(inspect.signature(function).parameters.values())[1:]
    return [one.name for one in several if one.default is one.empty and one.kind not in (2, 4)]


def use(value: Any, gallery: Any) -> None:
    """Ask a value for most of what it can do."""
    w, kind = gallery.world(), type(value).__name__
    asked: list[Any] = [lambda: repr(value), *questions(value)]
    ids = w.audience.users.ids[:20]
    at = w.slots.at[:5]
    if isinstance(value, om.models.Model):
        asked += [lambda: value.recommend(w.x, k=3), lambda: value.score(w.x, w.x.items.ids[:3])]
        asked += [lambda: value.similar_items(w.x.items.ids[:3], k=2)]
    asked += {
        "Audience": [lambda: om.candidates(w.lists, om.Dataset(audience=value), w.send_time, w.slots, channels=["email"], eligibility=[om.QuietHours("21:00", "08:00")])],
        "EventLog": [lambda: om.models.NextItem().fit(value), lambda: om.timing.ActivityProfile().fit(om.Dataset(value, audience=w.audience)), lambda: value.before("2025-02-01")],
        "MessageLog": [lambda: om.SendTime().fit(om.Dataset(w.log, messages=value, audience=w.audience)), lambda: om.timing.Fatigue().fit(value)],
        "Interactions": [lambda: om.ALS(factors=4, iterations=1).fit(value), lambda: om.ItemKNN().fit(value).recommend(value, k=2)],
        "Recommendations": [lambda: value.head(1), lambda: om.evaluate({"a": value}, w.x, k=2, metrics=[om.ndcg], n_bootstrap=2)],
        "SendTimeModel": [lambda: value.slot_probability(w.audience, np.arange(20), "email", at), lambda: value.probability(w.touches.touches), lambda: value.probability_interval(w.touches.touches), lambda: [value.hour_probability(ids[:1], name) for name in (None, "email", "push")], lambda: value.best(om.Dataset(audience=w.audience), "2025-03-10", 2, channel="email")],
        "ActivityModel": [lambda: value.hour_of_week(ids), lambda: value.hour_of_week(ids, channel="app"), lambda: value.quarter_of_week(ids), lambda: value.effective_sample_size(ids), lambda: value.standard_deviation(ids), lambda: value.best_hour(ids)],
        "ReadingModel": [lambda: value.rates(ids), lambda: value.standard_deviation(ids, "email"), lambda: value.exposure(ids), lambda: value.hour_probability(ids, "push"), lambda: value.slot_probability(w.audience, np.arange(20), "email", at)],
        "FatigueModel": [lambda: value.factor(ids[:5], "email", at), lambda: value.cost(ids, "email"), lambda: value.load(ids[:5], at)],
        "ChannelPreferenceModel": [lambda: value.preference(ids), lambda: value.best(ids)],
        "CreativeModel": [lambda: value.choose(gallery.pd.DataFrame({"user_id": [1, 2], "item_id": [0, 1]}), at="2025-06-01"), lambda: value.to_frame()],
        "LiveBandit": [lambda: value.decide(np.ones((3, _width(value)))), lambda: value.update(value.arms.ids[:1], np.ones((len(value.arms.ids[:1]), _width(value))), np.ones(len(value.arms.ids[:1]))), lambda: value.refresh(), lambda: value.expected(np.ones((2, _width(value)))), lambda: value.propensity(np.ones((2, _width(value)))), lambda: value.widths(np.ones((2, _width(value)))), lambda: value.reward(value.decide(np.ones((3, _width(value)))).ids, np.ones(3)), lambda: value.add_arms(["fresh"])],
        "RankerModel": [lambda: value.recommend(om.Dataset(w.log, messages=w.sent, audience=w.audience).requests(ids[:5], channel="app"), k=3)],
        "Candidates": [lambda: om.plan(value)],
        "Plan": [lambda: value.prices, lambda: value.left_out],
        "ZonePosterior": [lambda: om.QuietHours("21:00", "08:00", zones=value).mask(w.touches.touches)],
        "TypedModel": [lambda: value.recommend(om.Dataset(w.log, messages=w.sent, audience=w.audience).requests(ids[:5]), k=3)],
        "AttributeModel": [lambda: value.recommend(om.Dataset(w.log, attributes=w.attributes).requests(ids[:5]), k=2)],
        "SegmentModel": [lambda: value.recommend(om.Dataset(w.log, attributes=w.attributes).requests(ids[:5]), k=2)],
        "Fallback": [lambda: value.recommend(om.Dataset(w.log, messages=w.sent, audience=w.audience).requests(ids[:5]), k=2)],
        "WhatNext": [lambda: value.recommend(om.Dataset(w.log, messages=w.sent, audience=w.audience).requests(ids[:5]), k=2)],
        "RefillModel": [lambda: value.due(om.Dataset(w.log, messages=w.sent, audience=w.audience).requests(ids[:5]))],
        "FollowUpsModel": [lambda: value.after(w.x.items.ids[:3], k=2), lambda: value.recommend(om.Dataset(w.log, messages=w.sent, audience=w.audience).requests(ids[:5]), k=2)],
        "Report": [lambda: value._repr_html_(), lambda: value.differences(value.models[0])],
        "Dataset": [lambda: value.before("2025-02-10"), lambda: om.EASE().fit(value).recommend(value.requests(), k=3), lambda: om.SendTime().fit(value), lambda: om.timing.infer_zones(value)],
        "Feedback": [lambda: om.LinearBandit().fit(value)],
        "LoggedDecisions": [lambda: om.causal.off_policy(value, np.full(len(value.rewards), 0.5))],
        "Vocabulary": [lambda: value.codes(value.ids[:3])],
    }.get(kind, [])  # fmt: skip
    for verb in asked:
        with contextlib.suppress(om.errors.OmnirecoError):
            verb()


def _width(bandit: Any) -> int:
    """Return how many numbers a context of a bandit has."""
    return int(bandit._state.d - bandit.bandit.intercept)


def _memory(word: str) -> int:
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith(word))


def _place(error: BaseException) -> str:
    """Return the last line of ours that an error came through."""
    ours = [frame for frame in traceback.extract_tb(error.__traceback__) if "omnireco" in frame.filename]
    return f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "the use of it"


def tried(path: Path, gallery: Any) -> str:
    """Load a file and use it; return what came of it."""
    before, highest = _memory("VmRSS"), _memory("VmHWM")
    try:
        value = om.load(path)
    except om.errors.StorageError:
        outcome = "refused"
    else:
        try:
            use(value, gallery)
            outcome = "used"
        except Exception as error:  # noqa: BLE001 - counted, and told apart from what is ours
            outcome = f"raised {type(error).__name__} in {_place(error)}"
    peak = _memory("VmHWM")
    if peak > highest and peak - before > 2 * path.stat().st_size + SPARE:
        return f"memory {(peak - before) >> 20} MB"
    return outcome


def run(n: int, *, seed: int = 0, names: list[str] | None = None, verbose: bool = False) -> collections.Counter[str]:
    """Try n mutated files in children; return how often each outcome came."""
    gallery, draw, found = load_gallery(), random.Random(seed), collections.Counter()
    makers = {**gallery.VALUES, **gallery.STATES}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = {}
        for name in names or makers:
            path = om.save(makers[name](), Path(folder) / "whole")
            whole[name] = path.read_bytes()
            use(om.load(path), gallery)  # whatever is compiled is compiled before children are made
        seeds = [draw.randrange(1 << 60) for _ in range(n)]
        at = 0
        while at < n:
            at = _child(seeds, at, whole, folder, gallery, found, verbose)
    return found


def _child(
    seeds: list[int], at: int, whole: dict[str, bytes], folder: str, gallery: Any, found: Any, verbose: bool
) -> int:
    """Let a child try files from ``at`` on; return where to go on after it has ended."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        code = 1
        with contextlib.suppress(BaseException):
            _try_all(seeds, at, whole, folder, gallery, writing)
            code = 0
        os._exit(code)
    os.close(writing)
    begun = ""
    with os.fdopen(reading) as lines:
        for line in lines:
            begun, _, outcome = line.rstrip("\n").partition("\t")
            if outcome:
                found[outcome] += 1
                at += 1
                if verbose and at % 1000 == 0:
                    print(dict(found), flush=True)
                if verbose and not outcome.startswith(("refused", "used")):
                    print(begun, outcome, flush=True)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise RuntimeError(f"the script itself failed at {begun or at}")
    if os.WIFSIGNALED(status):
        found[f"signal {os.WTERMSIG(status)}"] += 1
        at += 1
        if verbose:
            print(begun, f"signal {os.WTERMSIG(status)}", flush=True)
    return at


def _try_all(seeds: list[int], at: int, whole: dict[str, bytes], folder: str, gallery: Any, writing: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    limit = _memory("VmSize") + (4 << 30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    path, names = Path(folder) / "tried", sorted(whole)
    for number, seed in enumerate(seeds[at : at + 500], at):
        draw = random.Random(seed)
        name = names[number % len(names)]
        path.write_bytes(whole[name])
        header, arrays = taken_apart(path)
        told = f"{number} {name}: {mutate(header, arrays, draw)}".replace("\t", " ").replace("\n", " ")[:200]
        os.write(writing, f"{told}\t\n".encode("utf-8", "replace"))
        put_together(path, header, arrays)
        signal.alarm(SECONDS)
        outcome = tried(path, gallery)
        signal.alarm(0)
        os.write(writing, f"{told}\t{outcome}\n".encode("utf-8", "replace"))


if __name__ == "__main__":
    for outcome, times in run(int(sys.argv[1]), seed=int((sys.argv[2:] or [0])[0]), verbose=True).most_common():
        print(f"{times:8,}  {outcome}")
