"""What follows what, on two items; more of it is in test_linear_family.py."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om

DAY = pd.date_range("2025-05-01", periods=2, tz="UTC")
LOG = om.EventLog.from_frame(
    pd.DataFrame({"user_id": [1, 1, 2, 2, 3], "item_id": list("ababa"), "timestamp": [*DAY, *DAY, DAY[0]]}).assign(
        channel="web", event="buy"
    )
)


def test_two_people_who_went_from_a_to_b():
    # Z'Z = [[2, 0], [0, 0]], Z'Y = [[0, 2], [0, 0]]: the weight from a to b is 2 / (2 + 2)
    model = om.models.NextItem(regularization=2.0).fit(LOG)
    assert model.weights == pytest.approx(np.array([[0, 0.5], [0, 0]]))
    assert model.popularity.tolist() == [3, 2]


def test_whoever_has_a_is_offered_b():
    model = om.models.NextItem(regularization=2.0).fit(LOG)
    asked = LOG.matrix(om.Weights(step_half_life=2.0)).rows([3])
    found = model.recommend(asked, k=2).to_frame()
    assert found[["item_id", "score"]].to_numpy().tolist() == [["b", pytest.approx(0.5)]]


def steps(*rows):
    """Return a log of (person, hours, item)."""
    at = [DAY[0] + pd.Timedelta(hours=row[1]) for row in rows]
    return om.EventLog.from_frame(
        pd.DataFrame({"user_id": [r[0] for r in rows], "item_id": [r[2] for r in rows], "timestamp": at}).assign(
            channel="web", event="buy"
        )
    )


def test_an_input_long_before_the_next_step_weighs_less():
    log = steps((1, 0, "a"), (1, 24, "b"), (2, 0, "c"), (2, 1, "d"))
    past, following = om.models.NextItem(interval_half_life="12h")._examples(log)
    assert past.toarray()[1].tolist() == pytest.approx([2 ** (-24 / 12), 0, 0, 0])
    assert past.toarray()[3].tolist() == pytest.approx([0, 0, 2 ** (-1 / 12), 0])
    floored, _ = om.models.NextItem(interval_half_life="12h", interval_floor=0.4)._examples(log)
    assert floored.toarray()[1, 0] == pytest.approx(0.4)
    plain, same = om.models.NextItem(interval_half_life="12h", interval_floor=1.0)._examples(log)
    assert plain.toarray()[1, 0] == 1.0
    assert (same != following).nnz == 0


def test_intervals_tell_what_was_for_now_from_what_was_long_ago():
    """Half of the people come back after a month: then the last item says nothing about the next one."""
    rows = [(p, 0, "pan") for p in range(20)] + [(p, 1, "lid") for p in range(9)]
    rows += [(p, 720, "sun") for p in range(9, 20)]
    log = steps(*rows)
    ask = log.matrix(om.Weights(step_half_life=2.0)).rows([3]).with_items(log.items)
    by_step = om.models.NextItem(regularization=1.0).fit(log).score(ask, ["lid", "sun"])[0]
    by_time = om.models.NextItem(regularization=1.0, interval_half_life="1D").fit(log)
    weights = by_time.weights[by_time.items.codes(["pan"])[0]]
    assert by_step[0] < by_step[1]
    assert weights[by_time.items.codes(["lid"])[0]] > weights[by_time.items.codes(["sun"])[0]]


def test_the_trend_is_taken_out_and_that_of_today_put_back():
    log = steps((1, 0, "a"), (1, 1, "b"), (2, 2, "a"), (2, 3, "b"), (3, 4, "a"), (3, 5, "a"))
    past, following = om.models.NextItem(trend_power=0.5, trend_window="2h")._examples(log)
    a, b = log.items.codes(["a", "b"])
    assert past.toarray()[1, a] == pytest.approx(1.0)  # one "a" within two hours
    assert past.toarray()[3, a] == pytest.approx(2**-0.5)  # those at hours 0 and 2
    assert following.toarray()[3, b] == pytest.approx(2**-0.5)
    model = om.models.NextItem(trend_power=0.5, trend_window="2h", regularization=2.0).fit(log)
    inner = np.linalg.solve((past.T @ past).toarray() + 2 * np.eye(2), (past.T @ following).toarray())
    today = np.ones(2)
    today[a] = 2.0  # at the end of the log: hours 4 and 5; "b" at hour 3 counts, too
    assert model.weights == pytest.approx(inner * today[None, :] ** 0.5 / today[:, None] ** 0.5, rel=1e-5)


def test_without_power_and_half_life_nothing_changes():
    one = om.models.NextItem(regularization=2.0).fit(LOG)
    two = om.models.NextItem(regularization=2.0, trend_window="3D", interval_floor=0.5).fit(LOG)
    assert np.array_equal(one.weights, two.weights)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"interval_half_life": 3}, "interval_half_life must be a duration"),
        ({"interval_half_life": "0D"}, "interval_half_life must be"),
        ({"interval_floor": 1.5}, "interval_floor must be"),
        ({"trend_power": -0.1}, "trend_power must be"),
        ({"trend_window": "soon"}, "trend_window must be a duration"),
    ],
)
def test_what_is_refused(wrong, message):
    with pytest.raises(om.errors.ParameterError, match=message):
        om.models.NextItem(**wrong)
