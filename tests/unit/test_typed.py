"""Typed inputs: the plain regression, no look at what comes after the target, and every refusal."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import EmptyError, ParameterError, SchemaError

DAY = pd.date_range("2025-01-01", periods=60, tz="UTC")


def log_of(rows):
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "channel", "event", "day"])
    frame["timestamp"] = [DAY[day] for day in frame.pop("day")]
    return om.EventLog.from_frame(frame)


def drawn(seed=0, n_users=25, n_items=6):
    draw = np.random.default_rng(seed)
    rows = [
        (
            u,
            int(draw.integers(n_items)),
            str(draw.choice(["app", "store"])),
            str(draw.choice(["view", "purchase"])),
            day,
        )
        for u in range(n_users)
        for day in np.sort(draw.integers(0, 20, 8))
    ]
    return log_of(rows)


def examples_by_loop(log, window, fade):
    """One example per person and instant with a purchase: (inputs by (event, item), targets)."""
    frame = log.to_frame()
    events, items = list(log.events.ids), list(log.items.ids)
    rows, aims = [], []
    for _, own in frame.groupby("user_id"):
        instants = sorted(own["timestamp"].unique())
        for j, now in enumerate(instants):
            bought = own[(own["timestamp"] == now) & (own["event"] == "purchase")]
            if not len(bought):
                continue
            z, y = np.zeros(len(events) * len(items)), np.zeros(len(items))
            for i in range(max(0, j - window), j):
                for _, event in own[own["timestamp"] == instants[i]].iterrows():
                    column = events.index(event["event"]) * len(items) + items.index(event["item_id"])
                    z[column] += fade(j - i, (now - instants[i]) / pd.Timedelta("1D"))
            for item in bought["item_id"]:
                y[items.index(item)] = 1
            rows.append(z)
            aims.append(y)
    return np.array(rows), np.array(aims)


@pytest.mark.parametrize("repeats", [False, True])
@pytest.mark.parametrize(
    ("half_life", "fade"),
    [
        (None, lambda steps, days: 1.0),
        (2.0, lambda steps, days: 2 ** (-(steps - 1) / 2)),
        ("3D", lambda steps, days: 2 ** (-days / 3)),
    ],
)
def test_weights_are_the_plain_regressions(half_life, fade, repeats):
    log = drawn()
    z, y = examples_by_loop(log, 4, fade)
    rules = {"regularization": 1.5, "context_steps": 4, "input_half_life": half_life, "repeats": repeats}
    model = om.models.TypedEASE(**rules).fit(log)
    own = list(log.events.ids).index("purchase") * log.n_items
    for item in range(log.n_items):
        free = np.ones(z.shape[1], bool)
        free[own + item] = repeats
        part = z[:, free]
        expected = np.zeros(z.shape[1])
        expected[free] = np.linalg.solve(part.T @ part + 1.5 * np.eye(part.shape[1]), part.T @ y[:, item])
        assert model.weights[:, item] == pytest.approx(expected, abs=2e-5)


def test_several_target_types_hold_all_their_own_weights_at_zero():
    log = drawn(3)
    model = om.models.TypedEASE(by="channel and event", regularization=2.0, context_steps=8).fit(log)
    assert model.types == ("app/purchase", "app/view", "store/purchase", "store/view")
    n = log.n_items
    blocks = model.weights.reshape(4, n, n)
    for block, name in enumerate(model.types):
        assert (np.diag(blocks[block]) == 0).all() == name.endswith("purchase")
    every = (
        om.models.TypedEASE(by="channel and event", regularization=2.0, context_steps=8, repeats=True).fit(log).weights
    )
    z = om.models.TypedEASE(by="channel and event", context_steps=8)._examples(
        log, *_kinds(log), om.models.TypedEASE()._targets(log)
    )  # stationary: the gradient vanishes at every free weight
    inputs, targets = z[0].toarray(), z[1].toarray()
    for weights in (model.weights, every):
        gradient = inputs.T @ (inputs @ weights - targets) + 2.0 * weights
        assert np.abs(gradient[weights != 0]).max() < 1e-4


def _kinds(log):
    from omnireco.models.matrix.typed import _types

    names, kind = _types(log, "channel and event")
    return kind, len(names)


def test_nothing_at_or_after_the_target_is_an_input():
    """Everybody rates a pan after buying it: the rating says all about the purchase, and must say nothing."""
    rows = []
    for u in range(40):
        item = u % 4
        rows += [(u, 9, "web", "view", 0), (u, item, "web", "purchase", 5)]
        rows += [(u, item, "web", "rating", 5), (u, item, "web", "rating", 6)]  # at the same instant, and later
    model = om.models.TypedEASE(regularization=1.0).fit(log_of(rows))
    block = model.types.index("rating")
    n = len(model.items)
    assert (model.weights[block * n : (block + 1) * n] == 0).all()


def test_a_planted_behaviour_is_found_among_others():
    """A cart says what is bought next; a view says nothing. A pooled matrix cannot tell the two apart."""
    draw = np.random.default_rng(1)
    rows, last = [], []
    for u in range(300):
        for week in range(4):
            carted, viewed = draw.choice(10, 2, replace=False)
            rows += [(u, int(carted), "web", "cart", 10 * week), (u, int(viewed), "web", "view", 10 * week)]
            (last if week == 3 else rows).append((u, int((carted + 1) % 10), "web", "purchase", 10 * week + 1))
    log, truth = log_of(rows), log_of(last)
    model = om.models.TypedEASE(input_half_life=1.0, regularization=10.0, context_steps=3, repeats=True).fit(log)
    lists = model.recommend(model.inputs(log), k=1, exclude_seen=False)
    pooled = om.models.NextItem(
        events=["purchase"], regularization=10.0, context_steps=3, weights=om.Weights(step_half_life=1.0)
    )
    flat = pooled.fit(log).recommend(log.matrix(pooled.weights), k=1, exclude_seen=False)
    report = om.evaluate({"typed": lists, "pooled": flat}, truth, k=1, metrics=[om.hit_rate], n_bootstrap=0)
    means = report.to_frame().set_index("model")["mean"]
    assert means["typed"] > 0.95
    assert means["pooled"] < 0.8


def test_inputs_fade_and_keep_types_apart():
    log = log_of([(1, 1, "web", "view", 0), (1, 1, "web", "purchase", 2), (1, 2, "web", "view", 4)])
    x = om.models.typed_inputs(log, input_half_life=1.0)
    assert {name: layer.toarray().tolist() for name, layer in x.layers.items()} == {
        "purchase": [[0.5, 0.0]],
        "view": [[0.25, 1.0]],
    }
    days = om.models.typed_inputs(log.before(DAY[4]), input_half_life=dt.timedelta(days=2)).csr.toarray()
    assert days == pytest.approx(np.array([[2**-2 + 2**-1]]))
    both = om.models.typed_inputs(log, by="channel and event")
    assert list(both.layers) == ["web/purchase", "web/view"]
    assert list(om.models.typed_inputs(log, by="channel").layers) == ["web"]


def test_seen_as_any_type_is_left_out_and_a_plain_history_counts_as_the_target():
    log = drawn(2)
    model = om.models.TypedEASE().fit(log)
    x = model.inputs(log)
    lists = model.recommend(x, k=6)
    seen = x.csr.toarray() > 0
    for row in range(len(lists)):
        shown = lists.codes[row][lists.codes[row] >= 0]
        assert not seen[row, shown].any()
        assert shown.size == (~seen[row]).sum()
    plain = om.Interactions.from_scipy(x.layers["purchase"], users=x.users, items=x.items)
    only = om.models.typed_inputs(log.select(events=["purchase"])).with_items(model.items).rows(plain.users.ids)
    assert (model.score(plain, model.items.ids) == model.score(only, model.items.ids)).all()


def test_files_keep_how_inputs_fade(tmp_path):
    log = drawn(4)
    model = om.models.TypedEASE(input_half_life=dt.timedelta(days=3)).fit(log)
    again = om.load(om.save(model, tmp_path / "m"))
    one, two = (m.recommend(m.inputs(log), k=3) for m in (model, again))
    assert (one.scores == two.scores).all()


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: om.models.TypedEASE(by="user"), ParameterError, "by must be one of"),
        (lambda: om.models.TypedEASE(input_half_life=0), ParameterError, "input_half_life must be greater than 0"),
        (lambda: om.models.TypedEASE(input_half_life=True), ParameterError, "input_half_life must be a number"),
        (lambda: om.models.TypedEASE(input_half_life="3"), ParameterError, "input_half_life must be a duration"),
        (lambda: om.models.TypedEASE(regularization=0), ParameterError, "regularization"),
        (lambda: om.models.TypedEASE(context_steps=0), ParameterError, "context_steps"),
        (lambda: om.models.TypedEASE(target="sale").fit(drawn()), ParameterError, "Known: 'purchase', 'view'"),
        (lambda: om.models.TypedEASE(target_channels=["fax"]).fit(drawn()), ParameterError, "Known: 'app', 'store'"),
        (lambda: om.models.TypedEASE(memory=10).fit(drawn()), ParameterError, "12 inputs squared"),
        (lambda: om.models.TypedEASE().fit(log_of([(1, 1, "a", "purchase", 0)])), EmptyError, "did something before"),
        (lambda: om.models.TypedEASE().fit(drawn()).recommend(drawn().matrix(), k=1), SchemaError, "'app', 'store'"),
        (lambda: om.models.TypedEASE().fit("log"), SchemaError, "takes a Dataset. Got str: write om.Dataset"),
    ],
)
def test_refusals(call, error, says):
    with pytest.raises(error, match=says):
        call()
