"""Two hundred random small cases with every public rule and limit of ``om.planning``, and their mixtures.

What each rule means is written here a second time, in plain loops over frames with zoneinfo; the best plan is found by
scipy's HiGHS over rows that these loops make, and below twelve touches by enumeration. Nothing of the check comes from
the library.
"""

from __future__ import annotations

import datetime as dt
import itertools
import zoneinfo
from collections import Counter, defaultdict

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.stats import poisson

import omnireco as om
from omnireco.errors import InfeasibleError, ParameterError

P = om.planning
START = pd.Timestamp("2025-04-05", tz="UTC")  # clocks go back in Lord Howe on the next day
ZONES = np.array(["Asia/Kathmandu", "Australia/Lord_Howe", "America/New_York", "Europe/London", None], object)
CHANNELS = ["chat", "email", "push"]
ITEMS = ["cup", "hat", "tea"]
OFFERS = ["five", "free", "ten"]
STORES = ["north", "south"]
EVENTS = ["purchase", "dislike", "like", "message_in"]
OPEN = {"mon-fri": ("08:00", "19:00"), "sat": ("10:00", "14:00")}
LAW = {"GB": {"mon-fri": ["09:00-12:00", "13:00-20:00"]}, "America/New_York": {"daily": "08:00-21:00"}}
ELIGIBLE = ("QuietHours", "LegalHours", "OpeningHours", "Available", "InStock", "NotDisliked", "CoolDown",
            "ServiceWindow", "Affordable", "Promised", "Purpose")  # fmt: skip
LIMITS = ("FrequencyCap", "OncePerItem", "Capacity", "Budget", "Spend", "Stock", "Points", "Volume", "ComplaintRate",
          "FairReach", "OneOffer")  # fmt: skip


class Case:
    """Frames of a small world, its rules, and what they mean."""

    def __init__(self, seed: int, n: int = 36) -> None:
        self.rng = rng = np.random.default_rng(seed)
        self.seed, self.used = seed, set()
        n_people = int(rng.integers(2, 9))
        ids = [f"p{i}" for i in rng.permutation(40)[:n_people]]
        people = {"user_id": ids, "timezone": pd.array(rng.choice(ZONES, n_people), "string")}
        for name in CHANNELS:
            people[f"consent_{name}"] = rng.random(n_people) < 0.85
            people[f"reachable_{name}"] = rng.random(n_people) < 0.95
        people["consent_email_news"] = people["consent_push_news"] = rng.random(n_people) < 0.7
        people["region"] = pd.array(rng.choice(np.array(["a", "b", None], object), n_people), "string")
        self.people = pd.DataFrame(people).set_index("user_id", drop=False)
        n = int(rng.integers(4, n))
        sure = np.round(rng.random(n), 2)
        self.touches = pd.DataFrame(
            {
                "user_id": rng.choice(ids, n),
                "item_id": rng.choice(ITEMS, n),
                "channel": rng.choice(CHANNELS, n),
                "send_at": START + pd.to_timedelta(rng.integers(0, 3 * 96, n) * 15, unit="min"),
                "value": np.round(rng.gamma(1.0, 1.0, n), 3) - 0.1,
                "probability": sure,
                "offer_id": pd.array(rng.choice(np.array([*OFFERS, None], object), n), "string"),
                "store_id": pd.array(rng.choice(np.array([*STORES, None], object), n), "string"),
                "kind": pd.array(rng.choice(np.array(["nudge", "news", None], object), n), "string"),
                "campaign_id": rng.choice(["spring", "easter"], n),
                "reward_cost": np.round(rng.random(n), 2),
                "complaint": np.round(rng.random(n) * 0.01, 4),
                "points": rng.choice([0.0, 50.0, 100.0], n),
            }
        )
        self.balance = {one: float(rng.integers(-20, 220)) for one in ids if rng.random() < 0.8}
        self.pieces = {(i, s): int(rng.integers(0, 4)) for i in ITEMS for s in STORES if rng.random() < 0.8}
        self.valid = {i: (START + pd.Timedelta(int(rng.integers(-48, 60)), "h"), None, bool(rng.random() < 0.2))
                      for i in ITEMS[:2]}  # fmt: skip
        self.valid = {i: (b, b + pd.Timedelta(int(rng.integers(6, 60)), "h"), h) for i, (b, _, h) in self.valid.items()}
        m = 14
        self.events = pd.DataFrame(
            {
                "user_id": rng.choice(ids, m),
                "item_id": rng.choice(ITEMS, m),
                "channel": rng.choice(["chat", "shop"], m),
                "event": [*EVENTS, *rng.choice(EVENTS, m - 4)],
                "timestamp": START + pd.to_timedelta(rng.integers(-4 * 40, 4 * 70, m) * 15, unit="min"),
            }
        )
        k = int(rng.integers(1, 6))
        self.past = pd.DataFrame(
            {
                "user_id": rng.choice(ids, k),
                "channel": rng.choice(CHANNELS, k),
                "kind": pd.array(rng.choice(np.array(["nudge", "news"], object), k), "string"),
                "sent_at": START - pd.to_timedelta(rng.integers(1, 200, k) * 15, unit="min"),
                "responded_at": pd.Series([None] * k, dtype="datetime64[us, UTC]"),
            }
        )
        self.promise = {one: (str(rng.choice(OFFERS)), START + pd.Timedelta(int(rng.integers(4, 70)), "h"))
                        for one in ids if rng.random() < 0.5}  # fmt: skip

    # what the library is given ---------------------------------------------------------------------------------------

    def given(self, planned=None):
        """Return candidates, of the first touches where it says how many, and constraints."""
        self.log = om.EventLog.from_frame(self.events)
        messages = om.MessageLog.from_frame(self.past)
        audience = om.Audience.from_frame(self.people.reset_index(drop=True), attributes=["region"])
        self.data = om.Dataset(self.log, messages=messages, audience=audience)
        rules = [name for name in ELIGIBLE if self.rng.random() < 0.3]
        limits = [name for name in LIMITS if self.rng.random() < 0.4]
        self.used |= {"Consent", "Reachable", *rules, *limits}
        self.tests, self.rows, self.choices = [self._consent], [], []
        made = [getattr(self, f"_{name}")() for name in rules]
        touches = P.Candidates.from_frame(self.touches[:planned], self.data, eligibility=made)
        self.fit = self.touches[[all(test(row) for test in self.tests) for row in self.touches.itertuples()]]
        try:
            constraints = [getattr(self, f"_{name}")() for name in limits]
        except KeyError:  # a campaign that no touch is left of
            return touches, None
        return touches, constraints

    def _local(self, row):
        zone = self.people["timezone"][row.user_id]
        return None if pd.isna(zone) else row.send_at.to_pydatetime().astimezone(zoneinfo.ZoneInfo(zone))

    def _consent(self, row):
        person = self.people.loc[row.user_id]
        return bool(person[f"consent_{row.channel}"] and person[f"reachable_{row.channel}"])

    def _QuietHours(self):
        def fine(row):
            local = self._local(row)
            return row.channel != "push" or (local is not None and 7 <= local.hour < 21)

        self.tests.append(fine)
        return om.QuietHours("21:00", "07:00", channels="push")

    def _LegalHours(self):
        def fine(row):
            zone, local = self.people["timezone"][row.user_id], self._local(row)
            if row.channel != "email":
                return True
            if local is None or zone not in ("Europe/London", "America/New_York"):
                return False
            clock = local.strftime("%H:%M")
            if zone == "America/New_York":
                return "08:00" <= clock < "21:00"
            return local.weekday() < 5 and ("09:00" <= clock < "12:00" or "13:00" <= clock < "20:00")

        self.tests.append(fine)
        return P.LegalHours(LAW, channels="email", elsewhere="deny")

    def _OpeningHours(self):
        def fine(row):
            if row.channel != "push":
                return True
            if pd.isna(row.store_id):
                return False
            local = row.send_at.to_pydatetime().astimezone(zoneinfo.ZoneInfo("Asia/Kathmandu"))
            spans = {5: OPEN["sat"], 6: None}.get(local.weekday(), OPEN["mon-fri"])
            if spans is None:
                return False
            first, last = (dt.datetime.combine(local.date(), dt.time.fromisoformat(t), local.tzinfo) for t in spans)
            return first <= local and last - local >= dt.timedelta(hours=2)

        self.tests.append(fine)
        week = {day: "-".join(times) for day, times in OPEN.items()}
        hours = {"north": week, "south": week}
        frame = pd.DataFrame({"store_id": STORES, "timezone": "Asia/Kathmandu"})
        shops = om.data.Shops.from_frame(frame, hours=hours)
        return P.OpeningHours(shops, channels="push", left="2h")

    def _Available(self):
        def fine(row):
            if row.item_id not in self.valid:
                return False
            begin, end, hidden = self.valid[row.item_id]
            return not hidden and begin <= row.send_at < end

        self.tests.append(fine)
        rows = [(i, *window) for i, window in self.valid.items()]
        names = ["item_id", "valid_from", "valid_until", "hidden"]
        return P.Available(om.Catalog.from_frame(pd.DataFrame(rows, columns=names)))

    def _levels(self):
        rows = [(i, s, n) for (i, s), n in self.pieces.items()] or [("none", "north", 0)]
        return om.data.StockLevels.from_frame(pd.DataFrame(rows, columns=["item_id", "store_id", "pieces"]))

    def _there(self, item, store):
        return sum(n for (i, s), n in self.pieces.items() if i == item and (store is None or s == store))

    def _InStock(self):
        self.tests.append(lambda row: self._there(row.item_id, None if pd.isna(row.store_id) else row.store_id) >= 1)
        return P.InStock(self._levels())

    def _since(self, row, event, *, item=None, channel=None):
        mine = self.events[(self.events["user_id"] == row.user_id) & (self.events["event"] == event)]
        mine = mine[mine["timestamp"] <= row.send_at]
        mine = mine if item is None else mine[mine["item_id"] == item]
        mine = mine if channel is None else mine[mine["channel"] == channel]
        return mine["timestamp"].max()

    def _NotDisliked(self):
        def fine(row):
            no, yes = (self._since(row, event, item=row.item_id) for event in ("dislike", "like"))
            return pd.isna(no) or (not pd.isna(yes) and yes > no)

        self.tests.append(fine)
        return P.NotDisliked(self.log, events="dislike", undone="like")

    def _CoolDown(self):
        def fine(row):
            last = self._since(row, "purchase", item=row.item_id)
            return row.channel == "chat" or pd.isna(last) or row.send_at - last >= pd.Timedelta("6h")

        self.tests.append(fine)
        return P.CoolDown("6h", self.log, events="purchase", by="item", channels=["email", "push"])

    def _ServiceWindow(self):
        def fine(row):
            last = self._since(row, "message_in", channel="chat")
            return row.channel != "chat" or (not pd.isna(last) and row.send_at - last < pd.Timedelta("24h"))

        self.tests.append(fine)
        return P.ServiceWindow(self.log, events="message_in", channels="chat")

    def _amounts(self):
        frame = pd.DataFrame({"user_id": list(self.balance), "amount": list(self.balance.values())})
        return om.data.UserAmounts.from_frame(frame)

    def _Affordable(self):
        self.tests.append(
            lambda row: row.points == 0 or row.points <= self.balance.get(row.user_id, -np.inf) + 10 or False
        )
        self.balance = self.balance or {"p0": 0.0}
        return P.Affordable(self._amounts(), near=10)

    def _Promised(self):
        self.promise = self.promise or {self.people["user_id"].iloc[0]: ("ten", START + pd.Timedelta("9h"))}

        def fine(row):
            offer, until = self.promise.get(row.user_id, (None, START))
            return pd.isna(row.offer_id) or row.send_at >= until or row.offer_id == offer

        self.tests.append(fine)
        book = pd.DataFrame({"offer_id": OFFERS})
        ledger = None
        for one, (offer, until) in self.promise.items():
            made = P.OfferLedger.from_frame(pd.DataFrame({"user_id": [one], "offer_id": [offer]}),
                                            P.Offers.from_frame(book), start=START, until=until)  # fmt: skip
            ledger = made if ledger is None else ledger.append(made)
        return P.Promised(ledger)

    def _Purpose(self):
        def fine(row):
            return row.channel == "chat" or bool(self.people[f"consent_{row.channel}_news"][row.user_id])

        self.tests.append(fine)
        return P.Purpose("news", self.data, channels=["email", "push"])

    # limits: a plain row is (weights over the touches, at most, at least) --------------------------------------------

    def _row(self, weights, most, least=0.0):
        self.rows.append((np.asarray(weights, float), float(most), float(least)))

    def _FrequencyCap(self):
        n, hours = int(self.rng.integers(1, 4)), int(self.rng.choice([4, 24, 48]))
        kinds = None if self.rng.random() < 0.5 else ["nudge"]
        t, past = self.fit, self.past
        for user in t["user_id"].unique():
            counts = (t["user_id"] == user) & (True if kinds is None else t["kind"].isna() | (t["kind"] == "nudge"))
            old = past[(past["user_id"] == user) & (True if kinds is None else past["kind"] == "nudge")]["sent_at"]
            for first in [*t["send_at"][counts], *old]:
                end = first + pd.Timedelta(hours=hours)
                inside = counts & (t["send_at"] >= first) & (t["send_at"] < end)
                had = int(((old >= first) & (old < end)).sum())
                self._row(inside, max(0, n - had))
        return om.FrequencyCap(n, per=f"{hours}h", kinds=kinds, missing="ignore")

    def _OncePerItem(self):
        for _, group in self.fit.groupby(["user_id", "item_id"]):
            self._row(self.fit.index.isin(group.index), 1)
        return P.OncePerItem()

    def _Capacity(self):
        limit = int(self.rng.integers(0, 3))
        cell = self.fit["send_at"].dt.floor("6h")
        for one in cell.unique():
            self._row((cell == one) & (self.fit["channel"] == "push"), limit)
        return om.Capacity("push", per="6h", limit=limit)

    def _Budget(self):
        cost, total = {"email": 0.1, "push": 0.25}, float(self.rng.choice([0.3, 0.5, 1.0]))
        self._row(self.fit["channel"].map(cost).fillna(0.0), total)
        return om.Budget(["email", "push"], cost=cost, total=total, missing="ignore")

    def _Spend(self):
        total = float(np.round(self.rng.random() * 4, 2))
        if self.rng.random() < 0.5:
            self._row(self.fit["reward_cost"], total)
            return P.Spend(total)
        cost = {"five": 0.5, "ten": 1.0}
        self._row(self.fit["offer_id"].map(cost).fillna(0.0).astype(float) * self.fit["probability"], total)
        return P.Spend(total, reward=cost)

    def _Stock(self):
        certainty = None if self.rng.random() < 0.5 else 0.9
        t = self.fit[self.fit["channel"].isin(["email", "push"])]
        takes = self.fit["probability"].where(self.fit.index.isin(t.index), 0.0)
        bare = set(t["item_id"][t["store_id"].isna()])
        for item, store in itertools.product(ITEMS, [*STORES, None]):
            mine = self.fit["item_id"] == item
            mine = mine & ((self.fit["store_id"] == store).fillna(False) if store else item in bare)
            limit = float(self._there(item, store))
            if certainty and limit:  # by bisection: the greatest mean that a Poisson number keeps within the pieces
                low, high = 0.0, limit
                for _ in range(60):
                    middle = (low + high) / 2
                    low, high = (middle, high) if poisson.cdf(limit, middle) >= certainty else (low, middle)
                limit = low
            self._row(takes.where(mine.to_numpy(bool), 0.0), limit)
        return P.Stock(self._levels(), certainty=certainty, channels=["email", "push"])

    def _Points(self):
        for user in self.fit["user_id"].unique():
            mine = self.fit["points"].where(self.fit["user_id"] == user, 0.0)
            self._row(mine, max(self.balance.get(user, 0.0), 0.0))
        self.balance = self.balance or {"p0": 0.0}
        return P.Points(self._amounts())

    def _Volume(self):
        mine = self.fit["campaign_id"] == "spring"
        least, most = int(self.rng.integers(1, 3)), None if self.rng.random() < 0.5 else 3
        if not mine.any():
            raise KeyError("spring")
        self._row(mine, np.inf if most is None else most, least)
        return P.Volume("spring", least=least, most=most)

    def _ComplaintRate(self):
        mine = self.fit["channel"] == "email"
        self._row((self.fit["complaint"] - 0.004).where(mine, 0.0), 0.0)
        return P.ComplaintRate(0.004, channels="email")

    def _FairReach(self):
        region = self.people["region"].reindex(self.fit["user_id"]).fillna("?").to_numpy()
        heads = self.fit.assign(region=region).groupby("region")["user_id"].nunique()
        for name in heads.index if len(heads) > 1 else ():
            self._row(0.8 * heads[name] / heads.sum() - (region == name), 1.0)
        return P.FairReach("region", least=0.8)

    def _OneOffer(self):
        by, per_item = ("user_id" if self.rng.random() < 0.5 else "region"), bool(self.rng.random() < 0.3)
        group = self.fit["user_id"]
        if by == "region":
            own = self.people["region"].reindex(group)
            group = pd.Series(own.fillna(pd.Series("of " + group.to_numpy(), own.index)).to_numpy(), self.fit.index)
        group = group.astype(str) + ("/" + self.fit["item_id"] if per_item else "")
        self.choices.append((group.to_numpy(), self.fit["offer_id"].to_numpy(object, na_value=None)))
        return P.OneOffer(by, per_item)


def whole_program(case, *, integral):
    """Return the best value, and for a program of whole numbers the touches; None where there is no plan."""
    value = case.fit["value"].to_numpy()
    n, rows, high, low = value.size, [], [], []
    offers = sorted({(c, g, o) for c, (gs, os) in enumerate(case.choices) for g, o in zip(gs, os, strict=True) if o})
    at = {offer: n + i for i, offer in enumerate(offers)}
    needed = np.zeros(n, bool)

    def row(pairs, most, least=-np.inf):
        wide = np.zeros(n + len(offers))
        for place, weight in pairs:
            wide[place] += weight
        rows.append(wide)
        high.append(most)
        low.append(least)

    for weights, most, least in case.rows:
        row(enumerate(weights), most + 1e-9 * max(1.0, abs(most)) if np.isfinite(most) else most,
            least if least > 0 else -np.inf)  # fmt: skip
        needed |= (weights > 0) & (least > 0)
    for c, (groups, options) in enumerate(case.choices):
        for a, (g, o) in enumerate(zip(groups, options, strict=True)):
            if o:
                row([(a, 1.0), (at[c, g, o], -1.0)], 0.0)
        for g in set(groups):
            row([(place, 1.0) for (d, h, _), place in at.items() if (d, h) == (c, g)], 1.0)
    top = np.concatenate([(value > 0) | needed, np.ones(len(offers))]).astype(float)
    cost = -np.concatenate([value, np.zeros(len(offers))])
    if not rows or not n:
        return None if any(least > 0 for _, _, least in case.rows) else float(value[value > 0].sum())
    matrix, high, low = np.array(rows), np.array(high), np.array(low)
    if integral:
        found = milp(cost, constraints=LinearConstraint(matrix, low, high), integrality=np.ones(cost.size),
                     bounds=Bounds(0, top), options={"mip_rel_gap": 0.0})  # fmt: skip
        return None if found.x is None else -float(found.fun)
    up, down = np.isfinite(high), np.isfinite(low)
    found = linprog(cost, A_ub=np.vstack([matrix[up], -matrix[down]]), b_ub=np.concatenate([high[up], -low[down]]),
                    bounds=np.stack([np.zeros(cost.size), top], axis=1))  # fmt: skip
    return -float(found.fun)


def sent_of(case, plan):
    """Return which of the touches that fit are sent, as a mask in their order; equal touches are matched one by one."""
    keys = ["user_id", "item_id", "channel", "send_at", "value", "probability", "offer_id", "store_id", "kind",
            "campaign_id", "reward_cost", "complaint", "points"]  # fmt: skip
    sent = Counter(
        map(tuple, plan.to_frame()[keys].astype(object).where(lambda f: f.notna(), None).to_numpy().tolist())
    )
    fit = case.fit[keys].astype(object).where(lambda f: f.notna(), None).to_numpy().tolist()
    mask = np.zeros(len(fit), bool)
    for place, row in enumerate(map(tuple, fit)):
        if sent[row]:
            sent[row] -= 1
            mask[place] = True
    assert not +sent, f"case {case.seed}: a message is sent that some rule forbids"
    return mask


def kept(case, chosen):
    for weights, most, least in case.rows:
        assert weights[chosen].sum() <= most + 1e-7 * max(1.0, abs(most)), case.seed
        assert not least or weights[chosen].sum() >= least - 1e-9, case.seed
    for groups, options in case.choices:
        seen = defaultdict(set)
        for g, o in zip(groups[chosen], options[chosen], strict=True):
            seen[g] |= {o} - {None}
        assert all(len(one) <= 1 for one in seen.values()), case.seed


@pytest.mark.parametrize("block", range(20))
def test_every_rule_and_limit_and_their_mixtures(block):
    for seed in range(10 * block, 10 * block + 10):
        case = Case(seed)
        touches, constraints = case.given()
        assert len(touches) == len(case.fit), f"case {seed}: {case.used}"
        if constraints is None:
            with pytest.raises((ParameterError, InfeasibleError), match="spring"):
                om.plan(touches, constraints=[P.Volume("spring", least=1)])
            continue
        truth = whole_program(case, integral=True)
        if truth is None:
            with pytest.raises(InfeasibleError):
                om.plan(touches, constraints=constraints)
            continue
        made = om.plan(touches, constraints=constraints)
        chosen = sent_of(case, made)
        kept(case, chosen)
        scale = max(1.0, abs(truth))
        assert made.value == pytest.approx(float(case.fit["value"].to_numpy()[chosen].sum()), abs=1e-9)
        assert made.value <= truth + 1e-7 * scale, f"case {seed}: {case.used}"
        assert made.bound >= truth - 1e-7 * scale, f"case {seed}: {case.used}"
        assert made.value >= truth - 0.005 * abs(truth) - 1e-9, f"case {seed}: {case.used}"
        assert whole_program(case, integral=False) >= made.value - 1e-7 * scale
        assert not made.exact or made.value == pytest.approx(truth, rel=1e-6, abs=1e-7)


def test_every_public_rule_is_among_them():
    used, infeasible = set(), 0
    for seed in range(60):
        case = Case(seed)
        _, constraints = case.given()
        used |= case.used
        if constraints is not None and "Volume" in case.used:
            infeasible += whole_program(case, integral=True) is None
    public = {name for name in P.rules.__all__ if name not in ("Choices", "Rows", "Constraint", "Eligibility")}
    assert used == public
    assert 0 < infeasible < 30


@pytest.mark.parametrize("seed", range(1000, 1040))
def test_no_plan_in_full_enumeration_is_better(seed):
    case = Case(seed, 11)
    touches, constraints = case.given()
    if constraints is None:
        return
    value = case.fit["value"].to_numpy()
    every = np.array(list(itertools.product([False, True], repeat=value.size)), bool).reshape(2**value.size, value.size)
    fine = np.ones(len(every), bool)
    needed = np.zeros(value.size, bool)
    for weights, most, least in case.rows:
        used = every @ weights
        fine &= used <= most + 1e-9 * max(1.0, abs(most))
        fine &= used >= (least - 1e-9 if least else -np.inf)
        needed |= (weights > 0) & (least > 0)
    fine &= ~(every & ~((value > 0) | needed)).any(axis=1)
    for groups, options in case.choices:
        for g in set(groups):
            several = [every[:, (groups == g) & (options == o)].any(axis=1) for o in OFFERS]
            fine &= np.sum(several, axis=0) <= 1
    if not fine.any():
        with pytest.raises(InfeasibleError):
            om.plan(touches, constraints=constraints)
        return
    truth = float((every[fine] @ value).max())
    made = om.plan(touches, constraints=constraints)
    kept(case, sent_of(case, made))
    assert made.value == pytest.approx(truth, abs=1e-9)
    assert made.bound >= truth - 1e-9


@pytest.mark.parametrize("seed", range(30))
def test_renaming_people_changes_nothing(seed):
    one, other = Case(seed), Case(seed)
    names = {old: f"{i:03}" for i, old in enumerate(sorted(one.people["user_id"], reverse=True))}
    for frame in (other.people, other.touches, other.events, other.past):
        frame["user_id"] = frame["user_id"].map(names)
    other.people = other.people.set_index("user_id", drop=False)
    other.balance = {names[u]: x for u, x in other.balance.items()}
    other.promise = {names[u]: x for u, x in other.promise.items()}
    plans = []
    for case in (one, other):
        touches, constraints = case.given()
        if constraints is None:
            return
        try:
            plans.append(om.plan(touches, constraints=constraints))
        except InfeasibleError:
            plans.append(None)
    if plans[0] is None or plans[1] is None:
        assert plans == [None, None]
        return
    assert plans[0].value == pytest.approx(plans[1].value, rel=1e-9, abs=1e-12)
    assert plans[0].bound == pytest.approx(plans[1].bound, rel=1e-6, abs=1e-9)
    assert plans[0].left_out == plans[1].left_out or plans[0].value == pytest.approx(plans[1].value)


@pytest.mark.parametrize("seed", range(30))
def test_a_rule_less_never_lowers_the_value(seed):
    case = Case(seed)
    touches, constraints = case.given()
    if not constraints:
        return
    try:
        tight = om.plan(touches, constraints=constraints)
    except InfeasibleError:
        return
    for place in range(len(constraints)):
        loose = om.plan(touches, constraints=[*constraints[:place], *constraints[place + 1 :]])
        assert loose.value >= tight.value - 1e-7 * max(1.0, abs(tight.value)), constraints[place].name
        assert loose.bound >= tight.bound - 1e-6 * max(1.0, abs(tight.bound))


@pytest.mark.parametrize("block", range(10))
def test_triggered_messages_keep_every_rule_too(block):
    """Half of the touches are planned, the others asked for one by one: together they keep what the loops say."""
    accepted = 0
    for seed in range(2000 + 10 * block, 2010 + 10 * block):
        case = Case(seed)
        half = len(case.touches) // 2
        touches, constraints = case.given(half)
        if constraints is None:
            continue
        constraints = [rule for rule in constraints if not isinstance(rule, P.FairReach)]  # heads are those of the plan
        case.rows = [row for row in case.rows if not (row[1] == 1.0 and (row[0] < 0).any())]
        try:
            made = om.plan(touches, constraints=constraints)
        except (InfeasibleError, ParameterError):
            continue
        chosen = np.zeros(len(case.fit), bool)
        inside = case.fit.index < half
        whole, case.fit = case.fit, case.fit[inside]
        chosen[inside] = sent_of(case, made)
        case.fit, live = whole, P.LivePlan(made)
        for place, row in enumerate(case.touches[half:].to_dict("records"), half):
            asked = {name: one for name, one in row.items() if not pd.isna(one)}
            if live.accept(asked).accepted:
                assert place in case.fit.index, f"case {seed}: {case.used}"
                chosen[case.fit.index.get_loc(place)] = True
                accepted += 1
        kept(case, chosen)
    assert accepted > 0
