"""A search over hyper-parameters: inside the past, honest about what it found."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import ParameterError
from omnireco.evaluation import Between, Trials, tune
from omnireco.evaluation.trials.space import METHODS

SPACE = {"regularization": Between(1, 1000, log=True), "neighbors": [None, 5]}


@pytest.fixture(scope="module")
def data():
    return om.simulate(n_users=150, n_items=30, days=100, seed=4).dataset()


@pytest.fixture(scope="module")
def past(data):
    return data.split("2025-03-20").past


def test_the_search_sees_only_the_past(data, past):
    """What happens after the cut can be anything: the search ends the same, and fits nothing behind its own windows."""
    ends = []

    def score(model, before, after):
        ends.append((before.end, after.end))
        return pd.DataFrame({"user_id": before.users.ids, "value": 0.5})

    tune(om.EASE(), past, SPACE, horizon="14D", trials=2, score=score)
    assert max(after for _, after in ends) <= past.end
    assert {before for before, _ in ends} == {past.end - pd.Timedelta("28D")}
    one = tune(om.EASE(), past, SPACE, horizon="14D", trials=Trials(4, seed=3))
    two = tune(om.EASE(), data.before("2025-03-20"), SPACE, horizon="14D", trials=Trials(4, seed=3))
    pd.testing.assert_frame_equal(one.trials, two.trials)
    assert one.estimator == two.estimator


def planted(regularization):
    """A score that depends on one parameter alone, with noise per person."""

    def score(model, before, after):
        ids = before.users.ids
        noise = np.random.default_rng(len(ids)).normal(0, 0.3, len(ids))
        return pd.DataFrame({"user_id": ids, "value": noise + regularization(model)})

    return score


def of(model):
    return float(np.abs(model.weights if not hasattr(model.weights, "toarray") else model.weights.toarray()).max())


@pytest.mark.parametrize("method", ["random", "halving"])
def test_a_real_gain_is_found_and_shown_on_another_window(past, method):
    found = tune(
        om.EASE(regularization=10_000.0),
        past,
        {"regularization": Between(1, 10_000, log=True)},
        horizon="14D",
        trials=Trials(9, method=method),
        score=planted(of),
    )
    assert found.gained
    assert 0 < found.low <= found.gain <= found.high
    assert found.estimator == found.best
    assert found.best.regularization < 1000
    assert found.n_trials == 10
    assert "Use EASE" in found.verdict
    assert found.trials["trial"].nunique() == 10


def test_the_default_wins_where_nothing_is_better(past):
    """The score is noise by setting: the best of twelve looks better where it was chosen, and is not."""
    kept = 0
    for seed in range(6):

        def score(model, before, after, seed=seed):
            ids = before.users.ids
            rng = np.random.default_rng([seed, int(before.end.timestamp()), int(1e6 * of(model)) % 10**9])
            return pd.DataFrame({"user_id": ids, "value": rng.normal(0, 1, len(ids))})

        found = tune(
            om.EASE(),
            past,
            {"regularization": Between(1, 1000)},
            horizon="14D",
            trials=Trials(12, seed=seed),
            score=score,
        )
        kept += found.estimator == om.EASE()
    assert kept >= 5


def test_the_default_is_the_first_trial_and_can_be_the_best(past):
    found = tune(om.EASE(), past, SPACE, horizon="14D", trials=2, score=planted(lambda model: 0.0))
    assert (found.best, found.gain, found.gained) == (om.EASE(), 0.0, False)
    assert "nothing tried was better" in found.verdict
    assert found.trials["error"].tolist() == ["", "", ""]


def test_a_setting_that_is_refused_counts_as_tried(past):
    found = tune(om.EASE(), past, {"regularization": [-1.0]}, horizon="14D", trials=3)
    assert found.trials["error"].tolist() == ["", "ParameterError"]
    assert found.n_trials == 2
    assert found.estimator == om.EASE()


def test_halving_fits_the_many_on_few_people(past):
    found = tune(
        om.EASE(),
        past,
        {"regularization": Between(1, 1000, log=True)},
        horizon="14D",
        trials=Trials(9, method="halving"),
    )
    size = found.trials.groupby("share")["trial"].count()
    assert size[1.0] < 9 + 1
    assert (
        found.trials[found.trials["share"] < 1]["n_people"].max()
        < found.trials[found.trials["share"] == 1]["n_people"].max()
    )


def test_response_models_are_tuned_by_likelihood(data):
    found = tune(om.SendTime(), data, {"expiry": ["2D", "3D"]}, horizon="21D", trials=2)
    assert found.metric == "log likelihood"
    assert (found.trials["value"] < 0).all()


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ({}, "space is empty"),
        ({"regularisation": [1]}, "no parameter 'regularisation'"),
        ({"regularization": 3}, "a list of values or a Between"),
        ({"regularization": "abc"}, "a list of values"),
        ({"regularization": []}, "empty list"),
        ([1], "space"),
    ],
)
def test_a_space_that_is_none_is_refused(past, space, words):
    with pytest.raises(ParameterError, match=words):
        tune(om.EASE(), past, space, horizon="14D")


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"trials": "grid"}, "trials must be"),
        ({"trials": 0}, "trials"),
        ({"k": 0}, "k"),
    ],
)
def test_what_a_search_cannot_do_is_refused(past, how, words):
    with pytest.raises(ParameterError, match=words):
        tune(om.EASE(), past, SPACE, horizon="14D", **how)


def test_optuna_is_said_where_it_is_missing(past, monkeypatch):
    import builtins

    real = builtins.__import__

    def refuse(name, *args, **how):
        if name.startswith("optuna"):
            raise ImportError(name)
        return real(name, *args, **how)

    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(om.errors.MissingExtraError, match=r"omnireco\[tune\]"):
        tune(om.EASE(), past, SPACE, horizon="14D", trials=Trials(2, method="optuna"), score=planted(lambda model: 0.0))
    assert METHODS == ("random", "halving", "optuna")


def test_optuna_says_what_to_try(past):
    pytest.importorskip("optuna")
    found = tune(
        om.EASE(regularization=10_000.0),
        past,
        SPACE | {"regularization": Between(1, 10_000, log=True)},
        horizon="14D",
        trials=Trials(8, method="optuna"),
        score=planted(of),
    )
    assert found.n_trials == 9
    assert found.gained


def test_a_score_must_be_a_function(data):
    with pytest.raises(om.errors.ParameterError, match=r"tune: score must be a function\(model, past, later\)"):
        om.tune(om.EASE(), data, {"regularization": [1.0, 2.0]}, horizon="14D", k=5, score=0)


@pytest.mark.parametrize("method", ["random", "halving"])
def test_threads_change_nothing_and_progress_is_told(past, method):
    told = []
    how = {"horizon": "14D", "trials": Trials(6, method=method, seed=1)}
    one = tune(om.EASE(), past, SPACE, threads=1, progress=lambda done, total: told.append((done, total)), **how)
    two = tune(om.EASE(), past, SPACE, threads=2, **how)
    pd.testing.assert_frame_equal(one.trials, two.trials)
    assert (one.gain, one.low, one.estimator) == (two.gain, two.low, two.estimator)
    assert told[-1][0] == told[-1][1] == len(told)
    with pytest.raises(ParameterError, match="progress must be"):
        tune(om.EASE(), past, SPACE, progress="yes", **how)


def test_a_trial_that_runs_out_of_memory_or_divides_by_zero_ends_no_search():
    data = om.simulate(n_users=80, n_items=20, days=80, seed=3).dataset()
    found = om.evaluation.tune(om.ALS(factors=8), data, {"factors": [4, 200_000_000]}, horizon="10D", trials=2, k=5)
    assert found.trials["error"].ne("").sum() == 1
    assert found.trials.loc[found.trials["error"] == "", "value"].notna().all()
