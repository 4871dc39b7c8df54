"""Credit by hand, by definition, and the same whatever channels are called."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco._kernels import attribution as kernels
from omnireco.causal import Paths, attribution
from omnireco.causal.paths.attribution import FEW, MODELS
from omnireco.errors import EmptyError, ParameterError, SchemaError

HAND = pd.DataFrame(
    {"path": ["ad > mail", "mail", "ad"], "conversions": [6, 2, 2], "nulls": [10, 30, 50], "value": [60.0, 10.0, 10.0]}
)


def random_frame(seed, n=60, channels=5):
    rng = np.random.default_rng(seed)
    names = [chr(97 + c) for c in range(channels)]
    paths = [" > ".join(rng.choice(names, rng.integers(1, 6))) for _ in range(n)]
    frame = pd.DataFrame(
        {"path": paths, "conversions": rng.integers(0, 9, n), "nulls": rng.integers(1, 40, n), "value": rng.random(n)}
    )
    return frame.assign(value=frame["value"].where(frame["conversions"] > 0, 0.0))


def wide(frame, column="conversions", **given):
    table = attribution(Paths.from_frame(frame), n_bootstrap=0, k=1, **given).table
    return table.pivot(index="channel", columns="model", values=column)


def test_rules_by_hand():
    found = wide(HAND, models=["first", "last", "linear", "shapley", "markov"])
    assert found["first"].to_dict() == {"ad": 8.0, "mail": 2.0}
    assert found["last"].to_dict() == {"ad": 2.0, "mail": 8.0}
    assert found["linear"].to_dict() == found["shapley"].to_dict() == {"ad": 5.0, "mail": 5.0}
    # 100 journeys: 68 begin with ad, 16 of them go on to mail, which 48 reach; 10 % convert.
    # Without ad .32 * 8 / 48 convert, without mail .68 * 2 / 68.
    lost = np.array([0.1 - 0.32 / 6, 0.1 - 0.02])
    np.testing.assert_allclose(found["markov"], 10 * lost / lost.sum())


def test_position_and_time_decay_by_hand():
    frame = pd.DataFrame({"path": ["a > b > c > d", "a > b", "a"], "conversions": [10, 10, 10]})
    found = wide(frame, models=["position"], ends=(0.5, 0.3))["position"]
    np.testing.assert_allclose(found, [5 + 6.25 + 10, 1 + 3.75, 1, 3])
    at = pd.Timestamp("2025-01-01", tz="UTC") + pd.to_timedelta([0, 7, 14], unit="D")
    log = pd.DataFrame(
        {"user_id": 1, "item_id": "x", "channel": ["a", "b", "s"], "event": ["v", "v", "buy"], "timestamp": at}
    )
    paths = Paths.of(log, completes="buy")
    table = attribution(paths, models=["time_decay"], half_life="7D", n_bootstrap=0, k=1).table
    np.testing.assert_allclose(table["conversions"], [1 / 3, 2 / 3])


@pytest.mark.parametrize("seed", range(3))
def test_every_model_sums_to_the_conversions_and_to_the_value(seed):
    frame = random_frame(seed)
    models = [name for name in MODELS if name != "time_decay"]
    found, value = wide(frame, models=models), wide(frame, "value", models=models)
    np.testing.assert_allclose(found.sum(), frame["conversions"].sum())
    np.testing.assert_allclose(value.sum(), frame["value"].sum())


@pytest.mark.parametrize("order", [1, 2])
def test_names_and_the_order_of_rows_change_nothing(order):
    frame = random_frame(4)
    models = [name for name in MODELS if name != "time_decay"]
    other = frame.sample(frac=1, random_state=1)
    swap = str.maketrans("abcde", "edcba")
    other["path"] = [text.translate(swap) for text in other["path"]]
    a, b = wide(frame, models=models, order=order), wide(other, models=models, order=order)
    np.testing.assert_allclose(a.loc[list("abcde")], b.loc[list("edcba")], atol=1e-9)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_removal_effects_are_those_of_removing_each_channel_by_itself(order):
    paths = Paths.from_frame(random_frame(7))
    n = len(paths.channels)
    chain = kernels.chain_of(paths.channel.astype(np.int64), paths.start, n, order)
    lost, _, base = kernels.removal_effects(chain, paths.conversions, paths.nulls, paths.value)
    s = len(chain.member)
    weight = paths.conversions + paths.nulls
    move, to, leave = np.zeros((s, s)), np.zeros(s), np.zeros(s)
    np.add.at(move, (chain.pair // s, chain.pair % s), weight[chain.path])
    np.add.at(to, chain.end, paths.conversions)
    np.add.at(leave, chain.end, paths.nulls)
    total = move.sum(axis=1) + to + leave
    begin = np.bincount(chain.begin, weight, minlength=s) / weight.sum()
    for c in range(n):
        stays = ~chain.member[:, c]
        q, r = (move / total[:, None])[np.ix_(stays, stays)], (to / total)[stays]
        kept = begin[stays] @ np.linalg.solve(np.eye(stays.sum()) - q, r)
        assert abs(base - kept - lost[c]) < 1e-12


def test_a_chain_of_one_order_has_the_rate_of_the_paths_as_its_base():
    paths = Paths.from_frame(random_frame(8))
    for order in (1, 2, 4):
        chain = kernels.chain_of(paths.channel.astype(np.int64), paths.start, 5, order)
        base = kernels.removal_effects(chain, paths.conversions, paths.nulls, paths.value)[2]
        assert 0 < base < 1
    assert abs(base - paths.conversions.sum() / (paths.conversions + paths.nulls).sum()) < 0.02


def shapley_by_definition(frame, value_of):
    sets = [frozenset(text.split(" > ")) for text in frame["path"]]
    names = sorted(set().union(*sets))
    n = len(names)

    def v(inside):
        rows = [s <= inside for s in sets]
        return value_of(frame[rows])

    found = {}
    for name in names:
        rest = [one for one in names if one != name]
        found[name] = sum(
            math.factorial(size)
            * math.factorial(n - size - 1)
            / math.factorial(n)
            * (v(frozenset(s) | {name}) - v(frozenset(s)))
            for size in range(n)
            for s in itertools.combinations(rest, size)
        )
    return found


def test_shapley_values_are_those_of_the_definition():
    frame = random_frame(9)
    found = wide(frame, models=["shapley", "shapley_rate"])
    by_count = shapley_by_definition(frame, lambda part: part["conversions"].sum())
    np.testing.assert_allclose(found["shapley"], [by_count[name] for name in found.index])

    def rate(part):
        n = (part["conversions"] + part["nulls"]).sum()
        return part["conversions"].sum() / n if n else 0.0

    by_rate = shapley_by_definition(frame, rate)
    journeys = (frame["conversions"] + frame["nulls"]).sum()
    np.testing.assert_allclose(found["shapley_rate"], [journeys * by_rate[name] for name in found.index])


def test_sampled_shapley_values_hold_the_exact_ones():
    rng = np.random.default_rng(0)
    names = [f"c{n:02d}" for n in range(18)]
    paths = [" > ".join(rng.choice(names[:8], rng.integers(1, 5))) for _ in range(80)] + names[8:]
    frame = pd.DataFrame({"path": paths, "conversions": rng.integers(1, 9, 90), "nulls": rng.integers(1, 40, 90)})
    read = Paths.from_frame(frame)
    sets = kernels.distinct_sets(read.channel.astype(np.int64), read.start, 18)
    exact = kernels.shapley_rates(*sets, read.conversions, read.nulls, 18) * (read.conversions + read.nulls).sum()
    exact = exact[np.argsort(read.channels.ids.astype(str))]
    table = attribution(read, models=["shapley_rate"], n_samples=400, k=1).table
    np.testing.assert_allclose(table["conversions"].sum(), frame["conversions"].sum())
    assert ((table["low"] <= exact) & (exact <= table["high"])).mean() > 0.8
    again = attribution(read, models=["shapley_rate"], n_samples=400, k=1).table
    pd.testing.assert_frame_equal(table, again)


def test_intervals_are_by_person_and_hold_the_credit():
    data = om.simulate(n_users=200, n_items=20, days=60, seed=1).dataset()
    report = attribution(Paths.of(data, window="7D"), n_bootstrap=60)
    assert set(report.table["model"]) == set(MODELS) - {"shapley_rate"}
    assert (
        (report.table["low"] <= report.table["conversions"]) & (report.table["conversions"] <= report.table["high"])
    ).mean() > 0.9


def test_channels_of_few_people_are_joined():
    frame = pd.DataFrame({"path": ["a > b", "b", "c", "d > b"], "conversions": [3, 9, 1, 1], "nulls": [9, 20, 1, 2]})
    report = attribution(Paths.from_frame(frame), n_bootstrap=0, k=5)
    assert report.channels["channel"].tolist() == [FEW, "a", "b"]
    assert (report.channels["people"] >= 5).all()
    sums = report.table.groupby("model")["conversions"].sum(min_count=len(report.channels))
    np.testing.assert_allclose(sums.dropna(), 14)
    assert sums.isna().any()  # one conversion each begins with c and with d
    lonely = attribution(Paths.from_frame(frame.iloc[[0, 1, 2]]), n_bootstrap=0, k=5)
    assert (lonely.channels["people"] >= 5).all()  # one person alone would be seen by taking sums
    with pytest.raises(EmptyError, match="fewer than k=50"):
        attribution(Paths.from_frame(frame), k=50)


def test_profit_after_margin_and_cost():
    report = attribution(Paths.from_frame(HAND), models=["last"], n_bootstrap=0, k=1)
    table = report.profit({"mail": 20.0}, margin=0.5).set_index("channel")
    assert table["value"].to_dict() == {"ad": 10.0, "mail": 70.0}
    assert table["profit"].to_dict() == {"ad": 5.0, "mail": 15.0}
    assert table.loc["mail", "return_on_cost"] == 35 / 20
    assert table.loc["mail", "cost_per_conversion"] == 20 / 8
    assert report.profit(worth=3.0)["value"].tolist() == [6.0, 24.0]
    bare = attribution(Paths.from_frame(HAND.drop(columns="value")), models=["last"], n_bootstrap=0)
    with pytest.raises(ParameterError, match="have no value"):
        bare.profit()
    with pytest.raises(ParameterError, match="Did you mean 'mail'"):
        report.profit({"mial": 20.0})


def test_credit_stands_beside_what_tests_say_and_says_what_it_is_not():
    report = attribution(Paths.from_frame(HAND), n_bootstrap=0, k=1)
    tests = pd.DataFrame({"channel": ["mail"], "conversions": [2.0], "low": [1.0], "high": [3.0]})
    table = report.side_by_side(tests, kinds={"ad": "makes", "mail": "captures"}).set_index("channel")
    assert table.loc["mail", "last_over_incremental"] == 4.0
    assert np.isnan(table.loc["ad", "incremental"])
    assert table["kind"].to_dict() == {"ad": "makes", "mail": "captures"}
    unsure = report.side_by_side(tests.assign(low=-1.0)).set_index("channel")
    assert np.isnan(unsure.loc["mail", "last_over_incremental"])
    assert "not causation" in report.caveat
    assert "not causation" in report._repr_html_()
    with pytest.raises(ParameterError, match="kinds\\['ad'\\]"):
        report.side_by_side(kinds={"ad": "brand"})
    with pytest.raises(SchemaError, match="names a channel twice"):
        report.side_by_side(pd.concat([tests, tests]))
    with pytest.raises(ParameterError, match="'tv'"):
        report.side_by_side(tests.assign(channel="tv"))
    for low, high in ((3.0, 1.0), (2.5, 3.0), (0.0, 1.0)):
        with pytest.raises(SchemaError, match="low <= conversions <= high; it has not for 1 channel"):
            report.side_by_side(tests.assign(low=low, high=high))


def test_holdouts_stand_beside_credit_by_channel():
    data = om.simulate(n_users=300, n_items=20, days=60, seed=1).dataset()
    drawn = om.causal.Holdout.draw(data.users, share=0.5, seed=7)
    held = om.causal.holdout_report(drawn, data.events, start="2025-02-01", within="14D")
    credit = attribution(Paths.of(data, window="7D"), models=["last"], n_bootstrap=0)
    beside = credit.side_by_side({"email": held}).set_index("channel")
    row = held.table.set_index("outcome").loc["conversions"]
    assert (
        beside.loc["email", ["incremental", "low", "high"]].tolist()
        == row[["total", "total_low", "total_high"]].tolist()
    )
    assert beside["incremental"].notna().sum() == 1
    with pytest.raises(ParameterError, match="must be a HoldoutReport"):
        credit.side_by_side({"email": held.table})
    with pytest.raises(ParameterError, match="'tv'"):
        credit.side_by_side({"tv": held})


def test_few_people_stand_behind_no_number():
    """A channel that begins the purchases of few people, or ends them, has no such number, nor does another alone."""
    rows = []
    for person in range(60):
        path = ["ad", "web"] if person < 3 else ["web", "ad"] if person < 30 else ["mail", "web"]
        rows += [(person, hour, name, "view") for hour, name in enumerate(path)] + [(person, 3, path[-1], "purchase")]
    frame = pd.DataFrame(rows, columns=["user_id", "hour", "channel", "event"])
    at = pd.Timestamp("2025-01-01", tz="UTC") + pd.to_timedelta(frame.pop("hour"), unit="h")
    data = om.Dataset(om.EventLog.from_frame(frame.assign(item_id="a", timestamp=at)), end="2025-03-01")
    found = attribution(Paths.of(data), n_bootstrap=3)
    starts = found.channels.set_index("channel")["starts"]
    assert starts.isna().sum() >= 2
    assert np.isnan(starts["ad"])
    first = found.table[found.table["model"] == "first"].set_index("channel")
    assert (first["conversions"].isna() == starts.isna()).all()
    assert first.loc["ad", ["low", "high", "share", "value"]].isna().all()
    assert found.table[found.table["model"] == "linear"]["conversions"].notna().all()  # 30 people touched it
    full = attribution(Paths.of(data), n_bootstrap=0, k=1)
    assert full.channels.set_index("channel").loc["ad", "starts"] == 3
    assert found.profit(worth=1.0)["profit"].isna().any()
    few = frame.assign(event=frame["event"].where(frame["user_id"] < 4, "view"), item_id="a", timestamp=at)
    bought = om.Dataset(om.EventLog.from_frame(few), end="2025-06-01")
    with pytest.raises(EmptyError, match="fewer than k=5 people are behind the conversions"):
        attribution(bought)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"models": ["lst"]}, "Did you mean 'last'"),
        ({"models": []}, "one at least"),
        ({"models": ["last", "last"]}, "once"),
        ({"models": ["time_decay"]}, "needs the times of touches"),
        ({"order": 0}, "order"),
        ({"ends": (0.8, 0.4)}, "sum to 1 at most"),
        ({"ends": 0.4}, "two shares"),
        ({"half_life": "soon"}, "half_life"),
        ({"k": 0}, "k must"),
    ],
)
def test_wrong_arguments_are_refused(given, words):
    with pytest.raises(ParameterError, match=words):
        attribution(Paths.from_frame(HAND), **given)


def test_what_has_no_conversion_or_no_end_is_refused():
    with pytest.raises(EmptyError, match="no journey ended"):
        attribution(Paths.from_frame(HAND.assign(conversions=0, value=0.0)))
    with pytest.raises(ParameterError, match="journeys without a conversion"):
        attribution(Paths.from_frame(HAND.drop(columns="nulls")), models=["markov"])


def test_a_channel_that_always_stands_at_the_end_gets_all_of_what_is_lost():
    frame = pd.DataFrame({"path": ["a > z", "b > z"], "conversions": [5, 5], "nulls": [5, 5]})
    found = wide(frame, models=["markov"])["markov"]
    assert found["z"] == max(found)
    np.testing.assert_allclose(found, [2.5, 2.5, 5.0])
