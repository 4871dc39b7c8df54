"""Every eligibility and every constraint keeps its laws, and the laws notice those that do not."""

import numpy as np
import pandas as pd
import pytest

from omnireco.data import Touches, Vocabulary
from omnireco.data.asking.touches import Past
from omnireco.data.messages import NEVER
from omnireco.planning import (
    Budget,
    Candidates,
    Capacity,
    Consent,
    Constraint,
    Eligibility,
    FrequencyCap,
    OncePerItem,
    QuietHours,
    Reachable,
    Rows,
)
from omnireco.testing import check_constraint, check_eligibility

HOUR = 3_600_000_000


def touches(n=60, seed=0):
    """Any touches: some without consent, address or time zone, at every hour."""
    draw = np.random.default_rng(seed)
    at = draw.integers(0, 14 * 24 * 4, n) * (HOUR // 4)
    local = np.where(draw.random(n) < 0.2, NEVER, at + draw.integers(-44, 57, n) * (HOUR // 4))
    codes = [draw.integers(0, size, n).astype(np.int32) for size in (8, 5, 2)]
    none = np.empty(0, np.int32)
    names = [Vocabulary.from_ids(range(8)), Vocabulary.from_ids(range(5)), Vocabulary.from_ids(["email", "push"])]
    past = Past(none, none.copy(), np.empty(0, np.int64))
    return Touches(*names, *codes, at, local, draw.random(n) < 0.7, draw.random(n) < 0.7, past)


def found(n=60, seed=0):
    draw = np.random.default_rng(seed)
    stamps = pd.Timestamp("2025-06-01", tz="UTC") + pd.to_timedelta(draw.integers(0, 14 * 24, n), unit="h")
    columns = {"user_id": draw.integers(0, 8, n), "item_id": draw.integers(0, 5, n)}
    channel = draw.choice(["email", "push"], n)
    return Candidates.from_frame(
        pd.DataFrame(columns | {"channel": channel, "send_at": stamps, "value": draw.random(n)})
    )


@pytest.mark.parametrize(
    "rule",
    [Consent(), Reachable(), QuietHours("21:00", "08:00"), QuietHours("12:00", "13:30", channels=["push"])],
    ids=repr,
)
@pytest.mark.parametrize("seed", [0, 1])
def test_eligibility(rule, seed):
    check_eligibility(rule, touches(seed=seed))
    check_eligibility(rule, touches(n=0))


@pytest.mark.parametrize(
    "constraint",
    [
        FrequencyCap(2, per="7D"),
        FrequencyCap(1, per="4h", channels=["push"]),
        FrequencyCap(0, per=None),
        OncePerItem(),
        Budget("email", cost=0.3, total=2.0),
        Capacity("push", per="1D", limit=1),
    ],
    ids=repr,
)
@pytest.mark.parametrize("seed", [0, 1])
def test_constraint(constraint, seed):
    check_constraint(constraint, found(seed=seed))


class Counts(Eligibility):
    calls = 0

    def mask(self, touches):
        self.calls += 1
        return np.full(len(touches), self.calls % 2 == 0)


class OnePerPerson(Eligibility):
    def mask(self, touches):
        first = np.zeros(len(touches), np.bool_)
        first[np.unique(touches.user, return_index=True)[1]] = True
        return first


class Numbers(Eligibility):
    def mask(self, touches):
        return np.ones(len(touches))


@pytest.mark.parametrize(
    ("rule", "match"),
    [
        (Counts(), r"Counts\.mask gave two answers"),
        (OnePerPerson(), r"OnePerPerson\.mask judges \d+ of \d+ touches differently in other company"),
        (Numbers(), r"Numbers\.mask must return bool of shape \(60,\). It returned float64"),
    ],
)
def test_the_laws_notice_a_wrong_eligibility(rule, match):
    with pytest.raises(AssertionError, match=match):
        check_eligibility(rule, touches())


class AtLeast(Constraint):
    def rows(self, touches):
        n = len(touches)
        return Rows(np.zeros(n, np.int64), np.arange(n), np.full(n, -1.0), np.array([3.0]))


class Dice(Constraint):
    draws = np.random.default_rng(0)

    def rows(self, touches):
        n = len(touches)
        return Rows(np.zeros(n, np.int64), np.arange(n), self.draws.random(n), np.array([3.0]))


class TwoFaced(Constraint):
    """Says one limit to the planner and another one to the check."""

    calls = 0

    def rows(self, touches):
        self.calls += 1
        n = len(touches)
        return Rows(np.zeros(n, np.int64), np.arange(n), np.ones(n), np.array([1.0 if self.calls < 3 else 9.0]))


@pytest.mark.parametrize(
    ("constraint", "match"),
    [
        (AtLeast(), "AtLeast.rows holds a missing weight, a negative limit, or only negative weights"),
        (Dice(), "Dice.rows gave two answers"),
        (TwoFaced(), "a plan under TwoFaced exceeds 1 of its 1 limits"),
    ],
)
def test_the_laws_notice_a_wrong_constraint(constraint, match):
    with pytest.raises(AssertionError, match=match):
        check_constraint(constraint, found())
