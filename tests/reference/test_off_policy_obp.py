"""Off-policy estimators beside Open Bandit Pipeline.

The numbers are what obp (fork sb-obp 0.5.10, module version 0.5.5) returns on this log, which both sides make by
formula.
"""

import numpy as np
import pytest

from omnireco.causal import LoggedDecisions, LoggedSlates, off_policy, off_policy_slates
from omnireco.causal.shrinking import shrunken

N, ACTIONS, PLACES = 40, 4, 3
I = np.arange(N)
OBP = {
    "ips": 1.0030973814496538,
    "snips": 1.0452756291187562,
    "dm": 0.30449278463315754,
    "dr": 1.0540574707885362,
    "sndr": 1.0855751734177514,
    "switch 1.0": 0.49552329849697463,
    "switch 2.5": 0.7758552293398738,
    "dros 1.0": 0.5508411838166205,
    "dros 30.0": 0.9189079679377976,
    "mips": 1.2213475703647894,
    "naive ips": 1.0702503478044485,
    "naive dr": 1.1054593879526655,
    "weighted ips": 0.9460840368760242,
    "weighted dr": 0.9989422238652264,
    "balanced ips": 1.0256343008864033,
    "balanced dr": 1.0638853280254894,
    "sips": 4.465246719902488,
    "rips": 3.224532854796487,
    "iips": 1.8107731753694292,
    "cascade_dr": 2.2367469756620233,
}


def log():
    """Return the probabilities of both policies, what was done and earned, and predicted rewards."""
    old = np.exp(np.sin(np.outer(I + 1, np.arange(1, ACTIONS + 1)) * 0.7))
    new = np.exp(np.cos(np.outer(I + 2, np.arange(1, ACTIONS + 1)) * 1.3) * 1.5)
    old, new = old / old.sum(1, keepdims=True), new / new.sum(1, keepdims=True)
    action, reward = (I * 7 + I // 3) % ACTIONS, ((I * I + 3 * I) % 7) / 3.0
    return old, new, action, reward, 0.3 + 0.2 * np.sin(I[:, None] * 0.5 + np.arange(ACTIONS))


def values(found):
    return found.table.set_index("estimator")["value"].to_dict()


def evaluated(logged, new, **how):
    return values(off_policy(logged, new, least_effective=1, **how))


def agrees(found, name):
    assert found == pytest.approx(OBP[name], rel=0, abs=1e-9)


def test_estimators_agree_with_obp():
    old, new, action, reward, predicted = log()
    found = evaluated(LoggedDecisions(reward, old[I, action], actions=action), new, predicted=predicted)
    for name in ("ips", "snips", "dm", "dr", "sndr"):
        agrees(found[name], name)


@pytest.mark.parametrize(
    ("form", "name", "at"),
    [
        ("switch_dr", "switch 1.0", 1.0),
        ("switch_dr", "switch 2.5", 2.5),
        ("dros", "dros 1.0", 1.0),
        ("dros", "dros 30.0", 30.0),
    ],
)
def test_changed_weights_agree_with_obp(form, name, at):
    old, new, action, reward, predicted = log()
    weight = shrunken(new[I, action] / old[I, action], form, at)
    agrees(((new * predicted).sum(1) + weight * (reward - predicted[I, action])).mean(), name)


def test_several_loggers_agree_with_obp():
    old, new, action, reward, predicted = log()
    other, logger = np.roll(new, 1, axis=0) * 0.5 + 0.125, np.where(I < 15, 0, 1)
    by = np.stack([old[I, action], other[I, action]], 1)
    logged = LoggedDecisions(reward, by[I, logger], actions=action, by_logger=by, logger=logger)
    wanted = ["ips", "dr", "weighted_ips", "weighted_dr"]
    found = evaluated(logged, new, predicted=predicted, estimators=wanted)
    agrees(found["ips"], "naive ips")
    agrees(found["dr"], "naive dr")
    agrees(found["weighted_ips"], "weighted ips")
    agrees(found["weighted_dr"], "weighted dr")
    found = evaluated(logged.balanced(), new, predicted=predicted)
    agrees(found["ips"], "balanced ips")
    agrees(found["dr"], "balanced dr")


def test_groups_of_actions_agree_with_obp():
    """Obp is given p(group | action) there, and so takes the same exact weights."""
    old, new, action, reward, _ = log()
    logged = LoggedDecisions(reward, old[I, action], actions=action, distribution=old)
    agrees(evaluated(logged, new, groups=[0, 0, 1, 1], estimators=["mips"])["mips"], "mips")


def test_slates_agree_with_obp():
    spread = np.outer(I + 1, np.arange(1, PLACES + 1))
    old, new = 0.2 + 0.6 * np.abs(np.sin(spread)), 0.2 + 0.6 * np.abs(np.cos(spread))
    reward = (np.outer(I, np.arange(1, PLACES + 1)) % 5) / 4.0
    shown = (np.outer(I, np.ones(PLACES, int)) + np.arange(PLACES)) % 4
    q = 0.5 + 0.3 * np.sin(np.arange(N * PLACES * 4) * 0.37).reshape(N, PLACES, 4)
    chance = np.repeat(((1 - new) / 3)[:, :, None], 4, axis=2)
    np.put_along_axis(chance, shown[:, :, None], new[:, :, None], axis=2)
    found = values(
        off_policy_slates(
            LoggedSlates(reward, old),
            new,
            predicted=np.take_along_axis(q, shown[:, :, None], axis=2)[:, :, 0],
            expected=(chance * q).sum(axis=2),
            estimators=["sips", "rips", "iips", "cascade_dr"],
            least_effective=1,
        )
    )
    for name in ("sips", "rips", "iips", "cascade_dr"):
        agrees(found[name], name)
