"""Compile beforehand: every kernel of the main path, so that no request and no first notebook waits for a compiler."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from omnireco._core.compute import Progress, always_compiled, check_progress, track

__all__ = ["cache_folder", "warm_up"]


def warm_up(*, progress: Progress = False) -> dict[str, float]:
    """Compile the kernels of the main path, and return the seconds of CPU that each took.

    Small work is done without a compiler. Large work runs compiled code, which is compiled when it is first needed,
    once on a machine, and kept on the disk. Call this while an image is built or a service starts, and nobody waits
    for it later. On the command line: ``omnireco warm-up``.

    Parameters
    ----------
    progress : bool or callable(done, total)
        A bar over the steps of the path.

    Returns
    -------
    dict
        Seconds by kernel, of those that this call compiled; empty where all were kept from before.

    Notes
    -----
    The path is run on a simulated company, with compiled code where numpy would do: logs, matrices, ALS, EASE, lists
    for many and for one, send times, a plan, a plan of many people, a bandit, a live service. What is not on it is
    compiled when it is first used.
    Deterministic; less than a minute of CPU on an empty cache, some seconds on a full one. Where code is kept, and who
    may write there: the page "Compiled code".

    Examples
    --------
    >>> seconds = warm_up()  # doctest: +SKIP
    >>> warm_up()            # doctest: +SKIP
    {}
    """
    from omnireco._core.compiled import COMPILED

    check_progress(progress)
    before = len(COMPILED)
    known: dict[str, Any] = {}
    with always_compiled():
        for step in track(_STEPS, progress, label="warm up"):
            step(known)
    seconds: dict[str, float] = {}
    for one in COMPILED[before:]:  # a kernel is compiled once for each type of its arguments
        seconds[one.name] = seconds.get(one.name, 0.0) + one.seconds
    return seconds


def cache_folder() -> str:
    """Return the folder in which compiled code is kept: "" where none can be written."""
    from omnireco._core.compiled import dispatcher_of
    from omnireco._kernels.packing.filling import _fill_loop

    kernel: Any = _fill_loop  # any that warm_up compiles
    folder = dispatcher_of(kernel.py_func)._cache.cache_path
    return "" if folder is None else os.environ.get("NUMBA_CACHE_DIR") or str(folder)


def _logs(known: dict[str, Any]) -> None:
    import pandas as pd

    from omnireco import data, worlds

    world = worlds.simulate(n_users=120, n_items=40, days=70, start="2025-01-06", seed=1)
    log = data.EventLog.from_frame(world.events)
    data.EventLog.from_frame(world.events.astype({"user_id": pd.StringDtype("pyarrow")}))
    whole = data.Dataset(
        log,
        messages=data.MessageLog.from_frame(world.messages),
        audience=data.Audience.from_frame(world.users),
        catalog=data.Catalog.from_frame(world.items),
    )
    known["past"], _ = whole.split("2025-03-03", horizon="7D")


def _factors(known: dict[str, Any]) -> None:
    from omnireco import models

    past = known["past"]
    for factors in (16, 64):
        known["als"] = models.ALS(factors=factors, iterations=1).fit(past)
        known["lists"] = known["als"].recommend(past.requests(), k=10)
    one = past.requests(past.events.users.ids[:1])
    known["als"].recommend(one, k=10)
    known["als"].recommend(one, k=10, exclude_seen=False, eligible=past.events.items.ids[:20])


def _items(known: dict[str, Any]) -> None:
    from omnireco import models

    past = known["past"]
    for estimator in (models.EASE(), models.ItemKNN(), models.Popularity()):
        estimator.fit(past).recommend(past.requests(), k=10)


def _times(known: dict[str, Any]) -> None:
    from omnireco import timing

    known["timing"] = timing.SendTime().fit(known["past"])


def _plan(known: dict[str, Any]) -> None:
    from omnireco import data, planning

    slots = data.slots("2025-03-03", days=2)
    touches = planning.candidates(
        known["lists"],
        known["past"],
        known["timing"],
        slots,
        channels=["push", "email"],
        eligibility=[planning.QuietHours("21:00", "08:00")],
    )
    planning.plan(touches, constraints=[planning.FrequencyCap(3, per="7D")])


def _large_plan(known: dict[str, Any]) -> None:
    """Solve a small problem in the way of large ones: caps, rows within people, offers of people and of segments."""
    import numpy as np
    from scipy import sparse

    from omnireco._kernels.packing import solve

    draw, people, each = np.random.default_rng(0), 60, 6
    user = np.repeat(np.arange(people), each)
    hour, half = draw.integers(0, 5, user.size), np.arange(user.size) // 3  # two rows of three touches for each person
    touch, n, halves = np.arange(user.size), user.size, 2 * people
    offer = draw.integers(0, 3, n)
    ones = np.ones(n)
    shared = sparse.csr_matrix((ones, (hour, touch)), shape=(5, n))
    caps = sparse.csr_matrix((ones, (user, touch)), shape=(people, n))
    own = sparse.csr_matrix((ones, (half, touch)), shape=(halves, n))
    value = draw.random(n)
    for rows, limit, choices in (
        (caps, np.full(people, 2.0), []),
        (own, np.ones(halves), []),
        (own, np.ones(halves), [(user, offer)]),
        (caps, np.full(people, 2.0), [(user % 2, offer)]),
    ):
        matrix, limits = sparse.vstack([shared, rows], format="csr"), np.append(np.full(5, 15.0), limit)
        solve(value, matrix, limits, block=user, choices=choices, linear_touches=0)


def _bandit(known: dict[str, Any]) -> None:
    import numpy as np

    from omnireco import choices

    draw = np.random.default_rng(0)
    x = draw.normal(size=(50, 3))
    live = choices.LinearBandit(policy="thompson").start(list("abcd"), n_features=3)
    chosen = live.decide(x)
    live.reward(chosen.ids, draw.random(50))
    live.decide(x[:1])
    live.update("a", x[0], 1.0)


def _live(known: dict[str, Any]) -> None:
    from omnireco import live

    past, at = known["past"], known["past"].end
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # a mapped file is another type
        service = live.Live(live.Snapshot.open(live.Snapshot(known["als"]).save(Path(folder) / "live.omnireco")))
        item, other = past.events.items.ids[:2].tolist()
        view = {"user_id": 0, "event": "view", "channel": "web", "item_id": item, "timestamp": "2025-03-01T00:00:00Z"}
        service.observe(view)
        service.recommend(0, 10, at=at)
        service.recommend(0, 10, at=at, exclude=[other], eligible=past.events.items.ids[:20])
        service.recommend(0, 10, at=at, given=[other])
        del service  # Windows removes no file that is mapped


_STEPS: list[Callable[[dict[str, Any]], None]] = [_logs, _factors, _items, _times, _plan, _large_plan, _bandit, _live]
