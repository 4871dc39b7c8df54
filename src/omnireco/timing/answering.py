"""Response model of a channel: population hazard per hour at risk, and individual deviations.

    rate(message sent at h to u) = f_u  exp(level + lift a_u)  sum_j rho^j m(h + j)  D_u(h)^slope  exp(s(h))

``m`` (168,) is the population's response hazard of an unread message per hour; ``rho`` the
effect decay; ``D`` the relative value of the hour for the person, by their activity and by
the kind of people whose week their responses look like; ``s`` what the hour of sending adds, which repairs what the
effect decay gets wrong; ``a`` log activity; ``f`` the person's own factor. The response probability is
``1 - exp(-rate)``. Last, the log rate is corrected by what messages left out say of it (`held_out`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np

from omnireco._core.compute import in_parallel
from omnireco._core.units import WEEK
from omnireco._kernels.week.delay import TAUS, best_tau, log_delays, reading_after
from omnireco._kernels.week.kinds import Evidence, Follows, evidence, fit_follows, kinds_of
from omnireco._kernels.week.pooling import EVEN
from omnireco._kernels.week.smoothing import FEW_WAYS, Options, Smooth, smooth_rates
from omnireco.data.vocabulary import NONE
from omnireco.timing.activity import ActivityModel, profiles_and_segments
from omnireco.timing.answers.held_out import (
    FOLDS,
    corrected,
    fit_correction,
    folds,
    no_correction,
    some_people,
    unexplained,
)
from omnireco.timing.calibration import Curve, fit_curve, person_factors
from omnireco.timing.departures import (
    HIGHEST,
    Sent,
    blocks,
    log_activity,
    log_rates,
    per_message,
    settings,
    shares,
    supported,
    weeks,
    worth,
)

__all__ = ["Channel", "Lent", "fit_channel"]

_Found = TypeVar("_Found")

_TRIED = 5.0  # answers to be expected of what was sent in an hour of the day, for it to count as tried
_MOST = float(np.log(-np.log1p(-(1.0 - 1e-15))))  # log rate of a response that is as good as certain
_TO_CORRECT = 100.0  # answers to judge the model on
_TO_JUDGE = 60_000  # messages
_TO_SHARE = 10.0  # answers of a channel to judge on what another one lends
_STRENGTHS = (0.1, 0.3, 1.0)  # of what another channel lends
_CLEARLY = 2.0  # nats by which messages left out must be predicted better with it
_MORE_KINDS = 25  # beyond the segments of activity: everybody, and people of one hour of the day each


class Lent(NamedTuple):
    """What a channel with many responses lends to one with few, and how much of it counts there, in [0, 1].

    Responses and hours at risk, (168,) each, and the log rates they make; how reading follows activity, the kind that
    each person is of, and how far people depart from everybody.
    """

    seen: np.ndarray
    at_risk: np.ndarray
    log_rate: np.ndarray
    follows: Follows
    kinds: np.ndarray
    slope: float
    slope_sd: float
    strength: float = 0.0


class Channel(NamedTuple):
    """What was learned about one channel; see `SendTimeModel` for the arrays.

    ``log_expected`` (m,) is the log of the expected responses of the messages it was fitted on.
    """

    tau: float
    reading: np.ndarray
    follows: Follows
    kinds: np.ndarray
    everybody: np.ndarray
    log_rate: np.ndarray
    log_rate_sd: np.ndarray
    tried: np.ndarray
    curve: Curve
    factor: np.ndarray
    factor_sd: np.ndarray
    correction: np.ndarray
    options: tuple[Options, Options]
    lends: Lent
    shared: float
    log_expected: np.ndarray

    def log_expected_of(
        self, sent: Sent, profile: ActivityModel, rate: np.ndarray, expiry: int | None, threads: int | None
    ) -> np.ndarray:
        """Return the log of the expected responses of messages, (m,), before the correction."""
        channel = settings(profile, self.tau, self.reading, self.follows, expiry)
        known = self.everybody, self.log_rate, self.log_rate_sd, self.tried
        channel = supported(channel, *known, self.curve.slope, self.curve.slope_sd)
        found = np.minimum(log_rates(sent, profile, rate, channel, self.kinds, threads), _MOST)
        found += np.log(np.maximum(self.factor, 1e-300))[sent.person]
        return np.asarray(found + self.curve.lift * log_activity(rate, sent.profile))


def fit_channel(
    sent: Sent,
    small: Sent,
    profile: ActivityModel,
    rate: np.ndarray,
    n_people: int,
    *,
    effect_decay: float,
    base_rate: float,
    expiry: int | None,
    threads: int | None,
    lent: Lent | None = None,
) -> Channel:
    """Fit one channel.

    With what another channel lends, as far as this one's messages left out are predicted better by it (a power prior).

    Parameters
    ----------
    sent, small : Sent
        All messages, and those that everybody's hours and the curve are fitted on.
    rate : ndarray of shape (n_users,)
        Sessions a week per person of the profile.
    n_people : int
        Of the message log.
    effect_decay : float
        Prior of the effect decay: time constant in hours.
    base_rate : float
        Response probability before any message, with the weight of 20 messages.
    lent : Lent, optional
        What was learned on the channel with the most responses.
    """
    fit = partial(
        _fit_curves,
        profile=profile,
        rate=rate,
        n_people=n_people,
        effect_decay=effect_decay,
        base_rate=base_rate,
        expiry=expiry,
        threads=threads,
    )
    found = fit(sent, small, like=None)
    judged = _judged(sent, n_people)
    answers = float(judged.answered.sum())
    if answers < (_TO_CORRECT if lent is None else _TO_SHARE):
        return found
    parts = folds(judged.person, judged.age, n_people)

    def left_out(like: Channel, lent: Lent | None) -> np.ndarray | None:
        """Return the log of the expected responses of each message, (m,), learned from other messages."""
        log_rate = np.empty(parts.size)
        for k in range(FOLDS):
            learn, other = judged.of(np.flatnonzero(parts != k)), np.flatnonzero(parts == k)
            if not (0 < learn.answered.sum() < learn.answered.size):
                return None
            one = fit(learn, learn, like=like, lent=lent)
            log_rate[other] = one.log_expected_of(judged.of(other), profile, rate, expiry, threads)
        return log_rate

    log_rate = left_out(found, None)
    if log_rate is None:
        return found
    if lent is not None:
        best = _log_likelihood(log_rate, judged) + _CLEARLY
        chosen = None
        for strength in _STRENGTHS:
            other = left_out(found, lent._replace(strength=strength))
            if other is not None and _log_likelihood(other, judged) > best:
                best, chosen, log_rate = _log_likelihood(other, judged), lent._replace(strength=strength), other
        if chosen is not None:
            found = fit(sent, small, like=None, lent=chosen)
    if answers < _TO_CORRECT:
        return found
    correction = fit_correction(log_rate, judged.answered, judged.recent)
    sd = unexplained(judged.person, judged.hour, np.exp(corrected(log_rate, correction)), judged.answered)
    log_expected = corrected(found.log_expected, correction)
    level = float(np.log(_scale(np.exp(log_expected), _foreseen(sent.answered, base_rate))))
    correction[1] += level
    log_expected += level
    factor_sd = np.sqrt(found.factor_sd**2 + sd**2)
    return found._replace(correction=correction, factor_sd=factor_sd, log_expected=log_expected)


def _log_likelihood(log_rate: np.ndarray, sent: Sent) -> float:
    """Return the log likelihood of which messages were answered, given the log of what was expected of each."""
    rate = np.exp(np.minimum(log_rate, _MOST))
    found = np.where(sent.answered, np.log(np.maximum(-np.expm1(-rate), 1e-300)), -rate)
    return float(sent.recent @ found)


def _judged(sent: Sent, n_people: int) -> Sent:
    """Return all messages of people enough to judge the model on messages left out."""
    if sent.hour.size <= _TO_JUDGE:
        return sent
    share = _TO_JUDGE / sent.hour.size
    return sent.of(np.flatnonzero(some_people(sent.person, sent.age, n_people, share)))


def _fit_curves(
    sent: Sent,
    small: Sent,
    profile: ActivityModel,
    rate: np.ndarray,
    n_people: int,
    *,
    effect_decay: float,
    base_rate: float,
    expiry: int | None,
    threads: int | None,
    like: Channel | None,
    lent: Lent | None = None,
) -> Channel:
    """Fit one channel, without a correction.

    One that is fitted on a part of another's messages takes over what is slow to learn and has few numbers: the effect
    decay, how smooth curves are, how well they are known, and how much of reading follows activity.
    """
    log_theta = np.log((1.0 - EVEN) * profile.population + EVEN / WEEK)
    options, of_sending = (None, None) if like is None else like.options
    tau = _effect_decay(small, profile, log_theta, effect_decay, base_rate) if like is None else like.tau
    prior = _prior_rate(base_rate, tau)
    seen, at_risk = _pooled(_seen(small), _at_risk_alike(small, tau), lent)
    hours = smooth_rates(seen, at_risk, log_theta, prior_rate=prior, options=options)
    reading = np.exp(hours.log_rate - log_theta)
    reading /= reading.mean()
    known = None if like is None else like.follows
    follows, kinds = _fit_kinds(small, sent, profile, reading, tau, n_people, known, threads, lent)
    channel = settings(profile, tau, reading, follows, expiry)
    everybody = _value_to_all(channel, profile, rate)
    # without the people's own responses, which would leak
    away = per_message(small, profile, rate, channel, None, threads) - np.append(everybody, 0.0)[small.hour]
    active = log_activity(rate, small.profile)
    curve = _curve(small, _rates(hours, tau, expiry, small), away, active, lent)
    expected = _until_answered(small, hours, tau) * np.exp(curve.slope * away)
    factor = person_factors(small.person, expected, small.answered, n_people)[0]
    own = _seen(small), _at_risk(small, profile, channel, curve.slope, factor, threads)
    hours = smooth_rates(*_pooled(*own, lent), log_theta, prior_rate=prior, options=options)
    log_rate = _rates(hours, tau, expiry, small)
    curve = _curve(small, log_rate, away, active, lent)
    log_rate, added, tried = _corrected(small, curve, log_rate, away, active, n_people, of_sending)
    log_rate = log_rate + curve.level
    log_rate_sd = _rates_sd(hours, tau, expiry, added) if like is None else like.log_rate_sd
    final = supported(channel, everybody, log_rate, log_rate_sd, tried, curve.slope, curve.slope_sd)
    score = log_rates(sent, profile, rate, final, kinds, threads)
    lifted = np.exp(curve.lift * log_activity(rate, np.append(np.arange(rate.size), NONE)))
    expected = np.exp(np.minimum(score, _MOST, out=score), out=score)
    expected *= lifted[sent.profile]
    expected[sent.answered] *= 0.5  # until they answered
    factor, strength = person_factors(sent.person, expected, sent.answered, n_people)
    expected[sent.answered] *= 2.0
    expected *= factor[sent.person]
    scale = _scale(expected, _foreseen(sent.answered, base_rate))
    log_expected = np.log(np.maximum(expected, 1e-300, out=expected), out=expected)
    log_expected += float(np.log(scale))
    answers = np.bincount(sent.person, weights=sent.answered, minlength=n_people)
    return Channel(
        tau=tau,
        reading=reading,
        follows=follows,
        kinds=kinds,
        everybody=everybody,
        log_rate=log_rate + float(np.log(scale)),
        log_rate_sd=log_rate_sd,
        tried=tried,
        curve=curve,
        factor=factor,
        factor_sd=1.0 / np.sqrt(strength + answers),
        correction=no_correction(),
        options=(hours.options, added.options),
        lends=Lent(*own, hours.log_rate, follows, kinds, curve.slope, curve.slope_sd),
        shared=0.0 if lent is None else lent.strength,
        log_expected=log_expected,
    )


def _pooled(seen: np.ndarray, at_risk: np.ndarray, lent: Lent | None) -> tuple[np.ndarray, np.ndarray]:
    """Return responses and hours at risk, (168,) each, with those that are lent, at the level of the channel."""
    if lent is None:
        return seen, at_risk
    level = (seen.sum() + 0.5) / (at_risk @ np.exp(lent.log_rate) + 0.5)
    return seen + lent.strength * lent.seen, at_risk + lent.strength * lent.at_risk / level


def _effect_decay(
    sent: Sent, profile: ActivityModel, log_theta: np.ndarray, effect_decay: float, base_rate: float
) -> float:
    """Return the effect decay, hours, without individual deviations."""
    seen, use = _seen(sent), np.flatnonzero(sent.answered & (sent.hour >= 0))
    if not use.size:
        return effect_decay
    return best_tau(_pull_scores(sent, use, seen, profile, log_theta, effect_decay, base_rate))


def _pull_scores(
    sent: Sent,
    use: np.ndarray,
    seen: np.ndarray,
    profile: ActivityModel,
    log_theta: np.ndarray,
    effect_decay: float,
    base_rate: float,
) -> np.ndarray:
    """Return the evidence of each of `TAUS`, over all hours of the population.

    A short effect decay and rising hazards are confounded where all is sent at one hour: the evidence of smooth hours
    decides. People who wait for their own hour are no long effect: where their activity predicts the delays better than
    everybody's hours do, that counts.
    """
    people, person = np.unique(sent.profile[use], return_inverse=True)
    r, hour, delay, weight = profile.profiles(people), sent.hour[use], sent.delay[use], sent.weight[use]
    alike = np.zeros(use.size, np.int64)
    score = -0.5 * np.log(TAUS / effect_decay) ** 2
    for i, tau in enumerate(TAUS.tolist()):
        rate = _prior_rate(base_rate, tau)
        hours = smooth_rates(seen, _at_risk_alike(sent, tau), log_theta, prior_rate=rate, ways=FEW_WAYS)
        own = weight @ log_delays(shares(r, np.exp(hours.log_rate - log_theta)), person, hour, delay, tau)
        all_alike = weight @ log_delays(np.exp(hours.log_rate)[None], alike, hour, delay, tau)
        score[i] += hours.log_evidence - float(weight @ delay) / tau + max(float(own - all_alike), 0.0)
    return score


def _at_risk_alike(sent: Sent, tau: float) -> np.ndarray:
    """Return the hours at risk, (168,), of all people together."""
    return _exposure(np.zeros(sent.hour.size, np.int64), sent, 1, tau)[0]


def _prior_rate(base_rate: float, tau: float) -> float:
    """Return the rate per hour that gives the response probability ``base_rate`` without decay."""
    return float(np.log1p(-base_rate) * np.expm1(-1.0 / tau))


def _seen(sent: Sent) -> np.ndarray:
    """Return the responses per local hour, (168,)."""
    use = np.flatnonzero(sent.answered & (sent.hour >= 0))
    return np.bincount((sent.hour[use] + sent.delay[use]) % WEEK, weights=sent.weight[use], minlength=WEEK)


def _exposure(place: np.ndarray, sent: Sent, n: int, tau: float) -> np.ndarray:
    """Return the hours at risk, weighted by the effect decay, of n people in each local hour, (n, 168).

    A message is at risk from the hour of sending until the response, or censoring; the hour of the response
    has weight 1/2.
    """
    known = np.flatnonzero(sent.hour >= 0)
    row, hour, weight = place[known] * WEEK, sent.hour[known], sent.weight[known]
    stop = np.where(sent.answered, sent.delay, sent.watched)[known]
    left = weight * np.exp(-stop / tau)
    end = row + (hour + stop) % WEEK
    begun = np.bincount(row + hour, weights=weight, minlength=n * WEEK)
    over = np.bincount(end, weights=left, minlength=n * WEEK)
    half = np.bincount(end, weights=0.5 * left * sent.answered[known], minlength=n * WEEK)
    found = (begun - over).reshape(n, WEEK) @ _kernel(tau, None) + half.reshape(n, WEEK)
    return np.asarray(np.maximum(found, 0.0))


def _kernel(tau: float, expiry: int | None) -> np.ndarray:
    """Return the pull in each hour of a message sent at each, (168, 168), on the circle."""
    age = (np.arange(WEEK)[None, :] - np.arange(WEEK)[:, None]) % WEEK
    pull = np.exp(-age / tau) / -np.expm1(-WEEK / tau)
    if expiry is None:
        return np.asarray(pull)
    turns = np.maximum(-(-(expiry - age) // WEEK), 0)  # weeks in which an offer is still alive at this age
    return np.asarray(pull * -np.expm1(-turns * WEEK / tau))


def _until_answered(sent: Sent, hours: Smooth, tau: float) -> np.ndarray:
    """Return the expected responses of each message until its response or censoring, (m,)."""
    m = np.exp(hours.log_rate)
    ahead = reading_after(m[None], tau)[0]
    stop = np.where(sent.answered, sent.delay, sent.watched)
    end = (sent.hour + stop) % WEEK
    found = ahead[sent.hour] - np.exp(-stop / tau) * (ahead[end] - 0.5 * sent.answered * m[end])
    return np.where(sent.hour < 0, ahead.mean() * (1.0 - 0.5 * sent.answered), np.maximum(found, 0.0))


def _at_risk(
    sent: Sent, profile: ActivityModel, channel: Any, slope: float, factor: np.ndarray, threads: int | None
) -> np.ndarray:
    """Return the hours at risk of everybody, (168,), each person's weighted by their deviation from an unknown user."""
    usual, tau = _read(profile, channel, np.array([NONE]))[0], float(-1.0 / np.log(channel.rho))

    def of_block(people: np.ndarray, rows: np.ndarray, place: np.ndarray, code: np.ndarray) -> np.ndarray:
        away = (_read(profile, channel, code) / usual) ** slope
        exposure = _exposure(place, sent.of(rows), people.size, tau)
        return np.asarray((factor[people, None] * away * exposure).sum(axis=0))

    found = in_parallel([partial(of_block, *block) for block in blocks(sent)], threads)
    return np.sum(found, axis=0) if found else np.zeros(WEEK)


def _read(profile: ActivityModel, channel: Any, code: np.ndarray) -> np.ndarray:
    """Return the reading weeks of people given by code, (n, 168), before their own responses; rows sum to 1."""
    p, member = profiles_and_segments(profile, code)
    return channel.own * shares(p, channel.reading) + (1.0 - channel.own) * (member @ channel.follows) @ channel.psi


def _rates(hours: Smooth, tau: float, expiry: int | None, sent: Sent) -> np.ndarray:
    """Return the mean of everybody's log rate per hour of sending, (169,); the last is without timing."""
    return _with_usual(hours.log_mean(_kernel(tau, expiry)), sent)


def _rates_sd(hours: Smooth, tau: float, expiry: int | None, added: Smooth) -> np.ndarray:
    """Return the standard deviation of everybody's log rate, (169,), with what the hour of sending adds."""
    variance, spread = hours.moments(_kernel(tau, expiry))[1], added.moments()[1]
    return np.sqrt(np.append(variance, variance.min()) + np.append(spread, spread.min()))


def _with_usual(log_rate: np.ndarray, sent: Sent) -> np.ndarray:
    """Return log rates per hour with that of the average message behind them: what holds where no clock is known."""
    count = np.bincount(sent.hour[sent.hour >= 0], minlength=WEEK).astype(np.float64)
    if not count.any():
        count[:] = 1.0
    return np.append(log_rate[:WEEK], np.log(count @ np.exp(log_rate[:WEEK]) / count.sum()))


def _at(per_hour: np.ndarray, hour: np.ndarray) -> np.ndarray:
    """Return a value per message from one per hour (169,), whose last is for messages without a clock."""
    return np.asarray(per_hour[np.where(hour < 0, WEEK, hour)])


def _curve(sent: Sent, log_rate: np.ndarray, away: np.ndarray, active: np.ndarray, lent: Lent | None = None) -> Curve:
    before = None if lent is None else (lent.slope, lent.strength / lent.slope_sd**2)
    return fit_curve(_at(log_rate, sent.hour), away, active, sent.answered.astype(np.float64), sent.weight, before)


def _corrected(
    sent: Sent,
    curve: Curve,
    log_rate: np.ndarray,
    away: np.ndarray,
    active: np.ndarray,
    n_people: int,
    options: Options | None,
) -> tuple[np.ndarray, Smooth, np.ndarray]:
    """Return log rates corrected by what the hour of sending adds, what it adds, and which hours were tried."""
    known = np.flatnonzero(sent.hour >= 0)
    expected = curve.rate(_at(log_rate, sent.hour), away, active)
    until = expected * (1.0 - 0.5 * sent.answered)
    until = until * person_factors(sent.person, until, sent.answered, n_people)[0][sent.person]
    hour, weight = sent.hour[known], sent.weight[known]
    seen = np.bincount(hour, weights=weight * sent.answered[known], minlength=WEEK)
    at_risk = np.bincount(hour, weights=weight * until[known], minlength=WEEK)
    added = smooth_rates(seen, at_risk, options=options)
    tried = np.bincount(hour % 24, weights=expected[known], minlength=24) >= _TRIED
    return _with_usual(log_rate[:WEEK] + added.log_rate, sent), added, np.tile(tried, 7)


def _foreseen(answered: np.ndarray, base_rate: float) -> float:
    """Return the total that the probabilities are calibrated to: those observed, or shrunk where it is all or none."""
    n, answers = answered.size, float(answered.sum())
    if 0 < answers < n:
        return min(answers, 0.98 * n)
    return min(n * (answers + 20.0 * base_rate) / (n + 20.0), 0.98 * n)


def _scale(rate: np.ndarray, answers: float) -> float:
    """Return the factor on rates that makes the sum of their probabilities, each at most 0.99, equal the responses."""
    if not answers:
        return 1.0
    low, high = -40.0, 40.0
    scale = 0.0
    for _ in range(200):
        total, slope = _expected(rate, float(np.exp(scale)))
        low, high = (scale, high) if total < answers else (low, scale)
        if abs(total - answers) <= 1e-12 * answers:
            break
        newton = scale + (answers - total) / slope if slope > 0 else np.inf
        scale = float(newton) if low < newton < high else (low + high) / 2.0
    return float(np.exp(scale))


def _expected(rate: np.ndarray, factor: float) -> tuple[float, float]:
    """Return the sum of probabilities, each at most 0.99, and its slope in the log of a factor on rates."""
    total = slope = 0.0
    for first in range(0, rate.size, 1 << 16):  # what is between the steps stays in the cache
        reach = np.minimum(rate[first : first + (1 << 16)] * factor, 700.0)
        none = np.exp(-reach)
        below = none > 1.0 - HIGHEST
        total += float(np.minimum(1.0 - none, HIGHEST).sum())
        slope += float((reach * none) @ below)
    return total, slope


def _fit_kinds(
    small: Sent,
    sent: Sent,
    profile: ActivityModel,
    reading: np.ndarray,
    tau: float,
    n_people: int,
    follows: Follows | None,
    threads: int | None,
    lent: Lent | None = None,
) -> tuple[Follows, np.ndarray]:
    """Return how reading follows activity, learned from a part of the messages, and the kinds of everybody from all.

    Given how it follows for a channel that these messages are a part of, its share and its kinds are taken over, but
    not who is of which: that would tell a part of the messages what was answered in the others.
    """
    n_kinds = len(profile.base.pi)
    follows = follows if lent is None else lent.follows
    unknown = np.zeros((n_people, n_kinds), np.float32)
    if follows is not None and follows.own == 1.0:
        return follows, unknown
    n_most = n_kinds + _MORE_KINDS if follows is None else follows.follows.shape[1]
    parts = _evidence(small, profile, reading, tau, n_most, lambda people, found, member: (found, member), threads)
    pull = sum(float(found.own_pull.sum()) for found, _ in parts)
    answers = sum(float(found.answers.sum()) for found, _ in parts)
    if pull == 0 or answers == 0:
        return Follows(1.0, np.eye(n_kinds)), unknown
    found = _joined([part for part, _ in parts])
    member = np.concatenate([member for _, member in parts])
    rate, rows = answers / pull, np.arange(found.answers.size)
    _, strength = person_factors(rows, rate * found.own_pull, found.answers.astype(np.float64), rows.size)
    follows = fit_follows(found, member, rate, strength, like=follows) if lent is None else lent.follows
    if follows.own < 1.0:
        n_kinds = follows.follows.shape[1]
        unknown = np.zeros((n_people, n_kinds), np.float32)

        def place(people: np.ndarray, found: Evidence, member: np.ndarray) -> None:
            likely = found.log_likelihood(follows.own, rate, strength)
            if lent is not None:
                told = lent.kinds[people].any(axis=1)
                before = np.maximum(member[told] @ follows.follows, 1e-300)
                likely[told] += lent.strength * np.log(np.maximum(lent.kinds[people][told] / before, 1e-300))
            unknown[people] = kinds_of(likely, member, follows.follows)

        _evidence(sent, profile, reading, tau, n_kinds, place, threads)
    return follows, unknown


def _evidence(
    sent: Sent,
    profile: ActivityModel,
    reading: np.ndarray,
    tau: float,
    n_kinds: int,
    use: Callable[[np.ndarray, Evidence, np.ndarray], _Found],
    threads: int | None,
) -> list[_Found]:
    """Return what is made of blocks of people, log likelihoods of their kinds, and their segments."""
    psi = weeks(profile, reading, n_kinds)

    def of_block(people: np.ndarray, rows: np.ndarray, place: np.ndarray, code: np.ndarray) -> _Found:
        p, member = profiles_and_segments(profile, code)
        known = sent.hour[rows] >= 0
        rows, place = rows[known], place[known]
        read = (sent.hour[rows] + sent.delay[rows]) % WEEK
        r = shares(p, reading)
        return use(people, evidence(r, psi, place, sent.hour[rows], sent.answered[rows], read, tau), member)

    return in_parallel([partial(of_block, *block) for block in blocks(sent)], threads)


def _joined(parts: list[Evidence]) -> Evidence:
    """Return the evidence of several blocks of people as one."""
    start = np.cumsum([0, *(part.answers.size for part in parts)])
    return Evidence(
        row=np.concatenate([part.row + first for part, first in zip(parts, start[:-1], strict=True)]),
        own_read=np.concatenate([part.own_read for part in parts]),
        kind_read=np.concatenate([part.kind_read for part in parts]),
        own_pull=np.concatenate([part.own_pull for part in parts]),
        kind_pull=np.concatenate([part.kind_pull for part in parts]),
        answers=np.concatenate([part.answers for part in parts]),
    )


def _value_to_all(channel: Any, profile: ActivityModel, rate: np.ndarray) -> np.ndarray:
    """Return the log relative value of each hour for an unknown user, (168,)."""
    nobody = np.array([NONE])
    return worth(nobody, nobody, None, profile, rate, channel)[0, :WEEK]
