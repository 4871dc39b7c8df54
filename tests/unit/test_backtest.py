"""Backtests: the same numbers as by hand, paired by person, resumed after an interruption."""

import dataclasses
import functools
import hashlib
import io
import json
import threading
import types

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco._core.contract import Estimator
from omnireco.errors import EmptyError, ParameterError
from omnireco.evaluation import backtest
from omnireco.evaluation.trials.backtest import paired
from omnireco.evaluation.trials.prints import print_of, said, said_function

MODELS = {"popular": om.Popularity(), "ease": om.EASE()}


@pytest.fixture(scope="module")
def data():
    return om.simulate(n_users=120, n_items=25, days=90, seed=2).dataset()


@pytest.fixture(scope="module")
def found(data):
    return backtest(MODELS, data, horizon="14D", n=2, k=5, counts="purchase")


def test_a_backtest_is_evaluate_on_every_cut(data, found):
    by_person = {}
    for cut in data.rolling(horizon="14D", n=2):
        lists = {name: one.fit(cut.past).recommend(cut.past.requests(), k=5) for name, one in MODELS.items()}
        report = om.evaluate(
            lists, cut.later.events.select(events=["purchase"]), k=5, metrics=[om.ndcg], train=cut.past
        )
        row = found.cuts[(found.cuts["cut"] == cut.past.end) & (found.cuts["metric"] == "ndcg")].set_index("model")
        for cell in report.cells:
            assert row.loc[cell.model, "mean"] == pytest.approx(cell.mean)
            assert row.loc[cell.model, "n_users"] == cell.n_users
            by_person.setdefault(cell.model, []).append(cell.values)
    table = found.leaderboard[found.leaderboard["metric"] == "ndcg"].set_index("model")
    every = {name: np.concatenate(parts) for name, parts in by_person.items()}
    assert table.loc["ease", "mean"] == pytest.approx(every["ease"].mean())
    assert table.loc["ease", "difference"] == pytest.approx((every["ease"] - every["popular"]).mean())
    assert table.loc["popular", ["difference", "difference_low", "difference_high"]].tolist() == [0, 0, 0]
    assert found.baseline == "popular"
    assert ("ease is better than popular" in found.verdict) == bool(table.loc["ease", "difference_low"] > 0)


def test_people_stay_together_over_windows():
    """Each of 50 people has one value four times: the interval is that of 50 values, not of 200."""
    values = np.random.default_rng(0).normal(size=50)
    people = np.arange(50)
    once = paired([values], [values * 0], [people], 50)
    four = paired([values] * 4, [values * 0] * 4, [people] * 4, 50)
    assert four == pytest.approx(once)
    assert once[2] - once[1] == pytest.approx(2 * 1.96 * values.std() / 50**0.5, rel=0.15)
    assert np.isnan(paired([np.array([np.nan])], [np.zeros(1)], [np.zeros(1, int)], 1)[0])


def test_threads_change_nothing(data, found):
    again = backtest(MODELS, data, horizon="14D", n=2, k=5, counts="purchase", threads=2)
    pd.testing.assert_frame_equal(again.leaderboard, found.leaderboard)


def counted(monkeypatch):
    fits = []
    fit = om.EASE.fit

    def count(self, *args, **how):
        fits.append(self)
        return fit(self, *args, **how)

    monkeypatch.setattr(om.EASE, "fit", count)
    return fits


def test_an_interrupted_run_resumes_and_gives_the_same(data, found, tmp_path, monkeypatch):
    fits = counted(monkeypatch)
    how = {"horizon": "14D", "n": 2, "k": 5, "counts": "purchase", "folder": tmp_path, "threads": 1}
    first = backtest(MODELS, data, **how)
    assert (first.n_reused, len(fits)) == (0, 2)
    pd.testing.assert_frame_equal(first.leaderboard, found.leaderboard)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 4
    again = backtest(MODELS, data, **how)
    assert (again.n_reused, len(fits)) == (4, 2)
    pd.testing.assert_frame_equal(again.leaderboard, found.leaderboard)
    pd.testing.assert_frame_equal(again.cuts, found.cuts)
    files[0].unlink()
    files[1].write_bytes(files[1].read_bytes()[:-7])  # cut off while it was copied
    files[2].write_bytes(b"\0" * 99)
    mended = backtest(MODELS, data, **how)
    assert mended.n_reused == 1
    pd.testing.assert_frame_equal(mended.leaderboard, found.leaderboard)
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".cell"]


def test_a_cell_of_anything_else_is_not_taken(data, tmp_path, monkeypatch):
    how = {"horizon": "14D", "n": 1, "k": 5, "folder": tmp_path}
    backtest({"m": om.EASE()}, data, **how)
    fits = counted(monkeypatch)
    other = om.simulate(n_users=120, n_items=25, days=90, seed=3).dataset()
    assert backtest({"m": om.EASE(regularization=3.0)}, data, **how).n_reused == 0
    assert backtest({"m": om.EASE()}, other, **how).n_reused == 0
    assert backtest({"m": om.EASE()}, data, **(how | {"k": 4})).n_reused == 0
    assert backtest({"m": om.EASE()}, data, **how, counts="purchase").n_reused == 0
    assert backtest({"m": om.EASE()}, data, **how, metrics=[om.recall]).n_reused == 0
    assert len(fits) == 5
    assert backtest({"m": om.EASE()}, data, **how).n_reused == 1


def test_no_id_is_written(tmp_path):
    world = om.simulate(n_users=60, n_items=12, days=60, seed=1)
    events = world.events.assign(user_id="ann-" + world.events["user_id"].astype(str))
    backtest(MODELS, om.Dataset(om.EventLog.from_frame(events)), horizon="14D", n=1, k=3, folder=tmp_path)
    assert not any(b"ann-" in path.read_bytes() for path in tmp_path.iterdir())


def test_response_models_are_judged_by_likelihood(data):
    found = backtest({"send": om.SendTime(), "short": om.SendTime(expiry="1D")}, data, horizon="21D", n=1)
    assert set(found.leaderboard["metric"]) == {"log likelihood"}
    assert (found.leaderboard["mean"] < 0).all()


def test_plans_are_evaluated_beside_their_lists(data):
    def week(past, lists):
        people = om.Dataset(audience=past.audience, messages=past.messages)
        touches = om.candidates(
            lists, people, om.SendTime().fit(past), om.slots(past.end.date().isoformat(), days=2), channels=["email"]
        )
        return om.plan(touches, constraints=[om.FrequencyCap(2, per="7D")])

    found = backtest({"popular": om.Popularity()}, data, horizon="14D", n=1, k=3, plan=week)
    table = found.leaderboard[found.leaderboard["metric"] == "recall"].set_index("model")
    assert set(table.index) == {"popular", "popular (plan)"}
    assert table.loc["popular (plan)", "mean"] <= table.loc["popular", "mean"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Strange(Estimator):
    """An estimator that holds a function."""

    how: object = print

    def fit(self, data, *, threads=None, progress=False):
        return om.Popularity().fit(data)


def test_what_cannot_be_backtested_is_refused(data, tmp_path):
    how = {"horizon": "14D"}
    with pytest.raises(ParameterError, match="estimators is empty"):
        backtest({}, data, **how)
    with pytest.raises(ParameterError, match="takes estimators"):
        backtest({"a": om.EASE}, data, **how)
    with pytest.raises(ParameterError, match="neither recommends"):
        backtest({"a": om.timing.ActivityProfile()}, data, **how)
    with pytest.raises(ParameterError, match="no text that says it whole"):
        backtest({"a": Strange()}, data, folder=tmp_path, **how)
    state = object()
    with pytest.raises(ParameterError, match="plan holds object, which has no text that says it whole"):
        backtest(MODELS, data, folder=tmp_path, plan=lambda past, lists: state, **how)
    with pytest.raises(ParameterError, match="plan must be a function"):
        backtest(MODELS, data, plan="weekly", **how)
    with pytest.raises(ParameterError, match="horizon, the length of each window, is missing"):
        backtest(MODELS, data)
    cuts = data.rolling(horizon="14D", n=2)
    with pytest.raises(ParameterError, match="a Dataset with horizon=, or cuts without"):
        backtest(MODELS, cuts, horizon="14D")
    with pytest.raises(ParameterError, match="a window begins before its past ends"):
        backtest(MODELS, [om.data.dataset.Cut(cuts[1].past, cuts[0].later)])
    with pytest.raises(EmptyError, match="no event of"):
        backtest(MODELS, data, counts="no such event", **how)


def test_fingerprints_say_all_of_the_data(data):
    assert print_of(data) == print_of(om.simulate(n_users=120, n_items=25, days=90, seed=2).dataset())
    parts = {name: getattr(data, name) for name in ("messages", "audience", "catalog")}
    known = {print_of(om.Dataset(data.events, **(parts | {name: None}))) for name in parts}
    facts = [pd.DataFrame({"item_id": data.events.items.ids[:2], "new": [1.0, 0.0]})]
    known |= {print_of(om.Dataset(data.events, **parts)), print_of(om.Dataset(data.events, **parts, facts=facts))}
    assert len(known) == 5


def test_a_text_says_a_value_whole():
    long = np.zeros(5000)
    other = long.copy()
    other[2500] = 1  # numpy's own text would hide it behind dots
    assert said(long) != said(other)
    assert said({"a": 1, "b": [2]}) == said({"b": [2], "a": 1})
    assert said(om.ALS(factors=8)) != said(om.ALS(factors=9))
    assert said(om.Blend(models={"a": om.EASE()})) != said(om.Blend(models={"a": om.EASE(regularization=2.0)}))


def test_an_embargo_leaves_time_between_past_and_window(data, found, tmp_path):
    cuts = data.rolling(horizon="14D", n=2, embargo="3D")
    apart = backtest(MODELS, cuts, k=5, counts="purchase")
    assert apart.n_cuts == 2
    assert (apart.leaderboard["mean"] != found.leaderboard["mean"]).any()
    same = backtest(MODELS, data.rolling(horizon="14D", n=2), k=5, counts="purchase", folder=tmp_path)
    pd.testing.assert_frame_equal(same.leaderboard, found.leaderboard)
    assert backtest(MODELS, cuts, k=5, counts="purchase", folder=tmp_path).n_reused == 0  # another question


def test_a_window_more_takes_finished_cells_in_their_places(data, tmp_path):
    """The same windows have other numbers in a longer run."""
    how = {"horizon": "14D", "k": 5, "threads": 1}
    backtest(MODELS, data, n=1, folder=tmp_path, **how)
    longer = backtest(MODELS, data, n=3, folder=tmp_path, **how)
    assert longer.n_reused == 2
    plain = backtest(MODELS, data, n=3, **how)
    pd.testing.assert_frame_equal(longer.leaderboard, plain.leaderboard)
    pd.testing.assert_frame_equal(longer.cuts, plain.cuts)


LEVEL = 1.0


def scaled(lists):
    return LEVEL * om.ndcg(lists)


def test_metrics_and_plans_of_ones_own_are_known_by_all_that_they_read(data, tmp_path, monkeypatch):
    def plan_of(days):
        def week(past, lists):
            people = om.Dataset(audience=past.audience, messages=past.messages)
            times = om.slots(past.end.date().isoformat(), days=days)
            touches = om.candidates(lists, people, om.SendTime().fit(past), times, channels=["email"])
            return om.plan(touches, constraints=[om.FrequencyCap(2, per="7D")])

        return week

    how = {"horizon": "14D", "n": 1, "k": 3, "folder": tmp_path, "metrics": [scaled]}
    popular = {"popular": om.Popularity()}
    first = backtest(popular, data, plan=plan_of(2), **how)
    again = backtest(popular, data, plan=plan_of(2), **how)
    assert (first.n_reused, again.n_reused) == (0, 1)
    pd.testing.assert_frame_equal(first.leaderboard, again.leaderboard)
    assert set(again.leaderboard["model"]) == {"popular", "popular (plan)"}
    assert backtest(popular, data, plan=plan_of(1), **how).n_reused == 0
    assert backtest(popular, data, **how).n_reused == 0
    monkeypatch.setitem(globals(), "LEVEL", 2.0)
    assert backtest(popular, data, plan=plan_of(2), **how).n_reused == 0


def test_what_a_function_reads_is_in_its_text():
    def make(held):
        def score(lists):
            return np.mean([held, *(one for one in lists if one in {"a", "b"})])

        return score

    assert said_function(make(1), "it") == said_function(make(1), "it")
    assert said_function(make(1), "it") != said_function(make(2), "it")
    assert said_function(make(np.arange(3)), "it") != said_function(make(np.arange(4)), "it")
    assert said_function(om.ndcg, "it") != said_function(om.recall, "it")
    assert said_function(functools.partial(om.ndcg, 1), "it") != said_function(functools.partial(om.ndcg, 2), "it")
    assert said_function(make(make(1)), "it") != said_function(make(make(2)), "it")
    for hidden in (object(), types.ModuleType("mine"), threading.Lock().acquire):
        with pytest.raises(ParameterError, match="no text that says it whole"):
            said_function(make(hidden), "the metric")


def test_damaged_cells_are_run_again_and_never_believed(data, found, tmp_path):
    """Any byte changed, cut or added anywhere; a cell of another estimator under this name; a folder in its place."""
    how = {"horizon": "14D", "n": 2, "k": 5, "counts": "purchase", "folder": tmp_path}
    backtest(MODELS, data, **how)
    files = sorted(tmp_path.iterdir())
    whole = {path: path.read_bytes() for path in files}
    rng = np.random.default_rng(0)
    for turn in range(24):
        for path in files:
            body = bytearray(whole[path])
            place = int(rng.integers(0, len(body)))
            if turn % 3 == 0:
                body[place] ^= 1 + int(rng.integers(0, 255))
            elif turn % 3 == 1:
                del body[place:]
            else:
                body[place:place] = bytes(rng.integers(0, 256, 5, dtype=np.uint8))
            path.write_bytes(bytes(body))
        files[0].write_bytes(whole[files[1]])
        again = backtest(MODELS, data, **how)
        assert again.n_reused == 0
        pd.testing.assert_frame_equal(again.leaderboard, found.leaderboard)
    files[0].unlink()
    files[0].mkdir()
    with pytest.raises(OSError):  # nothing can be written there, and it says so
        backtest(MODELS, data, **how)


@pytest.mark.parametrize(
    "change",
    [
        {"heads": []}, {"heads": 3}, {"heads": [{"model": "popular"}]}, {"form": 99}, {"mark": "another"}, [], None,
    ],
)  # fmt: skip
def test_a_cell_with_a_right_checksum_and_wrong_contents_is_run_again(data, tmp_path, change):
    how = {"horizon": "14D", "n": 1, "k": 5, "folder": tmp_path}
    plain = backtest({"m": om.Popularity()}, data, **how)
    (path,) = tmp_path.iterdir()
    with np.load(io.BytesIO(path.read_bytes()[32:])) as file:
        held = {name: file[name] for name in file.files}
    header = json.loads(held["header"].tobytes())
    header = {**header, **change} if isinstance(change, dict) else change
    buffer = io.BytesIO()
    np.savez(buffer, **(held | {"header": np.frombuffer(json.dumps(header).encode(), np.uint8)}))
    path.write_bytes(hashlib.sha256(buffer.getvalue()).digest() + buffer.getvalue())
    again = backtest({"m": om.Popularity()}, data, **how)
    assert again.n_reused == 0
    pd.testing.assert_frame_equal(again.leaderboard, plain.leaderboard)


def test_several_runs_write_one_folder_at_once(data, found, tmp_path):
    how = {"horizon": "14D", "n": 2, "k": 5, "counts": "purchase", "folder": tmp_path, "threads": 1}
    made = []
    runs = [threading.Thread(target=lambda: made.append(backtest(MODELS, data, **how))) for _ in range(4)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert len(made) == 4
    for one in made:
        pd.testing.assert_frame_equal(one.leaderboard, found.leaderboard)
    assert len(list(tmp_path.iterdir())) == 4  # and nothing half-written
    assert backtest(MODELS, data, **how).n_reused == 4


def test_means_of_few_people_are_not_shown(data):
    frame = data.events.to_frame()
    frame = frame[frame["user_id"].isin(data.events.users.ids[:4].tolist())]
    few = om.Dataset(om.EventLog.from_frame(frame), end=data.end)
    table = backtest({"m": om.Popularity()}, few, horizon="14D", n=2, k=3).leaderboard
    assert table[["mean", "low", "difference"]].isna().all().all()
