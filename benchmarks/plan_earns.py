"""What a plan earns in worlds whose truth is known: beside greedy sending, under fatigue, and with exploration.

    python benchmarks/plan_earns.py [--quick]

Joint: the plan of all channels against each channel greedily by itself, one after the other, under the same caps,
budgets and capacities; both by the true response probabilities times margins, fatigue included. Fatigue: how many
messages the plan that knows of fatigue needs for the conversions of one that does not. Exploration: how often the 95 %
interval of the off-policy value of last month's plan holds its true value, and what exploring costs. Means over worlds.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from _common import header, headline, options

import omnireco as om
from omnireco._kernels.packing import fill
from omnireco.data.clock import hour_of_week
from omnireco.data.vocabulary import Vocabulary
from omnireco.planning.solving import solved
from omnireco.worlds.world import exposure_at, response

CUT = "2025-03-24"


def true_chances(world, touches, rows) -> np.ndarray:
    """Return the true response probability of each touch that is sent, in the order of time, earlier ones counted."""
    t, truth = touches.touches, world.truth
    person = t.users.ids[t.user[rows]].astype(np.int64) - world.users["user_id"].min()
    item = pd.Index(world.items["item_id"]).get_indexer(t.items.ids[t.item[rows]])
    zones = Vocabulary.from_ids(sorted(set(truth.zone)))
    hour = hour_of_week(t.send_at[rows], zones.codes(truth.zone[person]), zones)
    channel = (t.channels.ids[t.channel[rows]] == "push").astype(np.int64)  # email, push
    before = world.messages["sent_at"].dt.tz_convert(None).to_numpy(dtype="datetime64[us]").astype(np.int64)
    who = world.messages["user_id"].to_numpy() - world.users["user_id"].min()
    old = before < pd.Timestamp(CUT, tz="UTC").value // 1000
    at = np.concatenate([before[old], t.send_at[rows]])
    users = np.concatenate([who[old], person])
    order = np.lexsort((at, users))
    span = int(at.max()) + 8 * 86_400_000_000
    key = users[order] * span + at[order]
    first = np.searchsorted(key, np.maximum(key - 7 * 86_400_000_000, users[order] * span))
    recent = np.empty(at.size, np.int64)
    recent[order] = np.arange(at.size) - first
    exposure = np.empty(rows.size)
    for code in (0, 1):
        mask = channel == code
        exposure[mask] = exposure_at(truth.reading, person[mask], hour[mask], code)
    return response(truth, exposure, person, channel, item, recent[old.sum() :])


def prepared(seed: int, n_users: int, fatigue: float = 0.15):
    """Return a world, what is known of it, lists, and the timing."""
    world = om.simulate(n_users=n_users, days=84, seed=seed, company=om.worlds.Company(fatigue=fatigue))
    past, _ = world.dataset().split(CUT)
    worth = om.Weights(events={"view": 1, "purchase": 8}, half_life="30D")
    recs = om.EASE(weights=worth).fit(past).recommend(past.requests(), k=8)
    return world, past, recs, om.SendTime().fit(past)


def touches_of(past, recs, timing, fatigue=None, limits=None):
    """Return the candidates of a week."""
    return om.candidates(
        recs, past, timing, om.slots(CUT, days=7, every="2h"), channels=["push", "email"],
        value=None if fatigue is None else om.planning.TouchValue(fatigue=fatigue),
        eligibility=[om.QuietHours("21:00", "08:00")],
        per_person=om.planning.PerPerson(min_interval="20h") if limits is None else limits,
    )  # fmt: skip


def greedy(touches, rules, turn: int) -> np.ndarray:
    """Return which touches are sent when each is taken by falling value while it fits.

    ``turn`` 1: channel after channel; -1: the same, the last one first; 0: all channels together.
    """
    done = solved(touches, (*touches.implied, *rules))
    index, channel = np.arange(len(touches)), turn * touches.touches.channel
    order = np.lexsort((index, -touches.value, channel))
    order = order[touches.value[order] > 0]
    return fill(order, done.matrix, done.limit, np.zeros(len(touches), np.bool_))


def joint(seed: int, n_users: int) -> dict[str, float]:
    """Return true money of the plan and of greedy sending, and messages."""
    world, past, recs, timing = prepared(seed, n_users)
    touches = touches_of(past, recs, timing)
    rules = [
        om.FrequencyCap(1, per="7D"),
        om.Budget("email", cost=0.01, total=n_users * 0.002),
        om.Capacity("push", per="2h", limit=max(1, n_users // 120)),
    ]
    margin = world.items.set_index("item_id")["margin"].reindex(touches.touches.items.ids).to_numpy()

    def money(sent):
        rows = np.flatnonzero(sent)
        return float((true_chances(world, touches, rows) * margin[touches.touches.item[rows]]).sum())

    made = om.plan(touches, constraints=rules)
    first, last, together = (money(greedy(touches, rules, turn)) for turn in (1, -1, 0))
    best, one = money(made.reason == 0), (first + last) / 2
    return {
        "plan": best, "greedy per channel, mean of both orders": one, "greedy over all": together,
        "more than the better order": best / max(first, last) - 1, "more than per channel": best / one - 1,
        "more than over all": best / together - 1,
    }  # fmt: skip


def tired(seed: int, n_users: int) -> dict[str, float]:
    """Return how many messages the plan that knows of fatigue needs for the conversions of greedy sending."""
    world, past, recs, timing = prepared(seed, n_users, fatigue=0.3)
    past = om.Dataset(past.events, messages=past.messages, audience=past.audience)  # a conversion is worth 1
    limits = om.planning.PerPerson(n_items=8, min_interval="20h")
    blind, aware = (touches_of(past, recs, timing, one, limits) for one in (None, om.timing.Fatigue().fit(past)))
    rules = [om.FrequencyCap(5, per="7D")]
    sent = np.flatnonzero(greedy(blind, rules, 1))
    wanted = float(true_chances(world, blind, sent).sum())
    plain = fewest(world, blind, om.plan(blind, constraints=rules), wanted)
    best = min(fewest(world, aware, om.plan(aware, constraints=[om.FrequencyCap(cap, per="7D")]), wanted)
               for cap in (1, 2, 3, 5))  # fmt: skip
    return {"conversions": wanted, "messages, greedy": sent.size, "messages, plan": plain, "messages, aware plan": best,
            "fewer by the plan": 1 - plain / sent.size, "fewer by the aware plan": 1 - best / sent.size}  # fmt: skip


def fewest(world, touches, made, wanted: float) -> float:
    """Return how many of the messages of a plan, the most valuable ones, convert as often as is wanted."""
    rows = np.flatnonzero(made.reason == 0)
    order = rows[np.argsort(-touches.value[rows], kind="stable")]
    low, high = 0, order.size
    if true_chances(world, touches, rows).sum() < wanted:
        return np.inf
    while high - low > 1:
        middle = (low + high) // 2
        enough = true_chances(world, touches, np.sort(order[:middle])).sum() >= wanted
        low, high = (low, middle) if enough else (middle, high)
    return high


def explored(n_people: int, n_draws: int, share: float = 0.05) -> dict[str, float]:
    """Return how often intervals hold the plan's true value, and what exploring costs."""
    rng = np.random.default_rng(0)
    n = n_people * 12
    frame = pd.DataFrame(
        {
            "user_id": np.repeat(np.arange(n_people), 12),
            "item_id": rng.integers(0, 200, n),
            "channel": rng.choice(["push", "email"], n),
            "send_at": pd.Timestamp("2025-06-01", tz="UTC") + pd.to_timedelta(rng.integers(0, 168, n), unit="h"),
            "value": rng.beta(2, 18, n),
        }
    )
    touches = om.planning.Candidates.from_frame(frame)
    chance = np.clip(touches.value * rng.lognormal(0, 0.5, n), 0.001, 0.9)  # the model is wrong, the log is not
    rules = [
        om.FrequencyCap(2, per="7D"),
        om.FrequencyCap(1, per="24h"),
        om.Budget("email", cost=0.01, total=n_people * 0.005),
        om.Capacity("push", per="1h", limit=max(1, n_people // 80)),
    ]
    hits, cost, width = dict.fromkeys(("ips", "snips"), 0), [], []
    best = om.plan(touches, constraints=rules)
    truth = chance[best.reason == 0].mean()
    for seed in range(n_draws):
        made = om.plan(touches, constraints=rules, explore=share, seed=seed)
        sent, week = made.reason == 0, made.to_frame()
        logged = om.causal.LoggedDecisions(
            (rng.random(int(sent.sum())) < chance[sent]).astype(float), week["propensity"], people=week["user_id"]
        )
        table = om.causal.off_policy(logged, 1.0 - week["explored"], least_effective=100).table.set_index("estimator")
        for name in hits:
            hits[name] += bool(table["low"][name] <= truth <= table["high"][name])
        cost.append(1 - made.value / best.value)
        width.append((table["high"]["snips"] - table["low"]["snips"]) / 2 / truth)
    return {f"coverage, {name}": count / n_draws for name, count in hits.items()} | {
        "half width": float(np.mean(width)), "cost of exploring": float(np.mean(cost)), "messages": len(best),
    }  # fmt: skip


def averaged(name: str, lines: list[dict[str, float]]) -> None:
    """Print the means, and the standard errors of what is compared."""
    frame = pd.DataFrame(lines)
    text = ", ".join(f"{column} {frame[column].mean():,.4g}" for column in frame)
    error = frame.iloc[:, -2:].std() / np.sqrt(len(frame))
    print(f"{name}: {text}; standard errors {', '.join(f'{e:.2g}' for e in error)}; {len(frame)} worlds", flush=True)
    for column in frame.columns[-2:]:
        mean, error = frame[column].mean(), frame[column].std() / np.sqrt(len(frame))
        headline(f"{name}: {column}", 100 * mean, "%", gap=[mean, mean - 1.96 * error, mean + 1.96 * error])


def main() -> None:
    """Print the three tables."""
    parser = options(__doc__, quick="one small world each")
    args = parser.parse_args()
    header(__doc__)
    worlds, n_users = (2, 200) if args.quick else (6, 1_500)
    averaged("joint", [joint(seed, n_users) for seed in range(worlds)])
    averaged("fatigue", [tired(seed, n_users) for seed in range(worlds)])
    found = explored(*((300, 40) if args.quick else (1_500, 400)))
    for name, goal in (("coverage, ips", ">= 0.92"), ("coverage, snips", ">= 0.92"), ("cost of exploring", "")):
        headline(f"explored plan: {name}", found[name], goal=goal)
    print("exploration: " + ", ".join(f"{name} {number:,.4g}" for name, number in found.items()))


if __name__ == "__main__":
    main()
