"""Backtests: the same numbers as by hand, paired by person, resumed after an interruption."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco._core.contract import Estimator
from omnireco.errors import EmptyError, ParameterError
from omnireco.evaluation import backtest
from omnireco.evaluation.trials.backtest import paired
from omnireco.evaluation.trials.prints import print_of, said

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
    with pytest.raises(ParameterError, match="takes no folder"):
        backtest(MODELS, data, folder=tmp_path, plan=print, **how)
    with pytest.raises(ParameterError, match="metric of your own"):
        backtest(MODELS, data, folder=tmp_path, metrics=[lambda lists: om.ndcg(lists)], **how)
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
