"""What a caller hands to ``candidates`` and ``plan``: the right types, or an error with the line that makes them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from omnireco._core.checks import check_duration, check_kind, plain, shown
from omnireco.data.asking.consent import withdrawals_of
from omnireco.data.asking.touches import Touches
from omnireco.data.audience import Audience
from omnireco.data.clock import Slots
from omnireco.data.dataset import Dataset, dataset_of
from omnireco.errors import ParameterError
from omnireco.planning.rules import Consent, Constraint, Eligibility, FrequencyCap, Reachable
from omnireco.planning.sources import Sources

__all__ = [
    "allowed",
    "check_channels",
    "check_constraints",
    "check_rules",
    "check_slots",
    "check_verb",
    "gap_rule",
    "given_data",
    "sources_of",
]


def given_data(data: Any, needs: tuple[str, ...], where: str, line: str) -> Dataset:
    """Return the Dataset that was given; an audience by itself is what was given before, so the new line is named.

    Raises
    ------
    TypeError
        When an audience stands where the Dataset goes.
    SchemaError
        When it is no Dataset, or a part is missing.
    """
    if isinstance(data, Audience):
        raise TypeError(f"{where} takes a Dataset, which holds the audience. Got an Audience. Write {line}.")
    return dataset_of(data, where, needs)


def check_slots(slots: Any) -> None:
    """Refuse what is no Slots."""
    check_kind(slots, Slots, "slots", "om.slots('2025-06-01', days=7)")


def check_verb(model: Any, verb: str, name: str, fix: str) -> None:
    """Refuse what has no such verb: an estimator that was not fitted, a frame, a class."""
    if isinstance(model, type) or not callable(getattr(model, verb, None)):
        got = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
        raise ParameterError(f"{name} must have a verb {verb}. Got {got}. Write {fix}: fit returns the model.")


def check_rules(eligibility: Any) -> tuple[Eligibility, ...]:
    """Return the rules beyond consent and reachability, which are always in force."""
    rules = _listed(eligibility, Eligibility, "eligibility", "eligibility=[om.QuietHours('21:00', '08:00')]")
    for rule in rules:
        if isinstance(rule, Constraint):
            raise ParameterError(
                f"eligibility holds {rule.name}, which limits touches together. "
                "Give it to the planner: plan(touches, constraints=[...])."
            )
        _check_rule(rule, Eligibility, "eligibility", "eligibility=[om.QuietHours('21:00', '08:00')]")
    return tuple(rule for rule in rules if not isinstance(rule, (Consent, Reachable)))


def check_constraints(constraints: Any) -> tuple[Constraint, ...]:
    """Return the constraints as a tuple; rules of the other family are an error that says where they go."""
    rules = _listed(constraints, Constraint, "constraints", "constraints=[om.FrequencyCap(3, per='7D')]")
    for rule in rules:
        if isinstance(rule, Eligibility):
            raise ParameterError(
                f"constraints holds {rule.name}, which looks at one touch at a time. "
                "Give it to candidates(..., eligibility=[...]): it must be asked before pruning."
            )
        _check_rule(rule, Constraint, "constraints", "constraints=[om.FrequencyCap(3, per='7D')]")
    return rules


def check_channels(channels: Any, audience: Audience) -> tuple[str, ...]:
    """Return the channels to use, each of which the audience must have been asked about."""
    listed = isinstance(channels, Iterable) and not isinstance(channels, (bytes, Mapping))
    names = (channels,) if isinstance(channels, str) else tuple(channels) if listed else ()
    if not names or not all(isinstance(name, str) for name in names):
        raise ParameterError(
            f"channels must be one or more names. Got {'none' if names == () and listed else type(channels).__name__}. "
            "Write channels=['push', 'email']."
        )
    known = list(audience.channels.ids)
    unasked = sorted({name for name in names if name not in known})
    if unasked:
        near = difflib.get_close_matches(unasked[0].casefold(), known, n=1)
        raise ParameterError(
            f"channels holds {', '.join(map(shown, unasked))}, for which the audience has no consent; it has "
            f"{', '.join(map(repr, known)) or 'none'}.{f' Did you mean {near[0]!r}?' if near else ''} "
            f"Without consent no message: add a column consent_{plain(unasked[0], 'email')} to the frame of "
            "Audience.from_frame."
        )
    return tuple(sorted(set(names)))


def gap_rule(gap: Any) -> tuple[Constraint, ...]:
    """Return the least time between two touches of a person as a rule; None is no rule."""
    if gap is None:
        return ()
    if isinstance(gap, Mapping):
        raise ParameterError(
            "gap is one duration over all channels together. Got a mapping. Write gap='4h', and a rule per channel in "
            "plan(touches, constraints=[om.FrequencyCap(1, per='1D', channels='push')])."
        )
    check_duration(gap, "gap (None for no such rule)")
    return (FrequencyCap(1, per=gap),)


def sources_of(data: Dataset | None, withdrawals: Any, rules: tuple[Eligibility, ...], where: str) -> Sources:
    """Return what a set of candidates is made from: every place that may say who withdrew a consent among it."""
    audience, messages = (None, None) if data is None else (data.audience, data.messages)
    events = withdrawals_of(withdrawals, Dataset() if data is None else data, where)
    return Sources(audience, () if messages is None else (messages,), events, rules)


def _listed(rules: Any, kind: type, name: str, fix: str) -> tuple[Any, ...]:
    """Return rules as a tuple; one rule need not stand in a list."""
    if isinstance(rules, (Eligibility, Constraint)):
        return (rules,)
    if isinstance(rules, (str, bytes, Mapping, type)) or not isinstance(rules, Iterable):
        got = f"the class {rules.__name__}" if isinstance(rules, type) else type(rules).__name__
        raise ParameterError(f"{name} must be a list of {kind.__name__} rules. Got {got}. Write {fix}.")
    return tuple(rules)


def _check_rule(rule: Any, kind: type, name: str, fix: str) -> None:
    """Refuse what is no rule, by its type: its text may hold anything."""
    if isinstance(rule, kind):
        return
    if isinstance(rule, type) and issubclass(rule, (Eligibility, Constraint)):
        raise ParameterError(
            f"{name} must hold {kind.__name__} rules. Got the class {rule.__name__}: write {rule.__name__}(...)."
        )
    raise ParameterError(f"{name} must hold {kind.__name__} rules. Got {type(rule).__name__}. Write {fix}.")


def allowed(touches: Touches, rules: Iterable[Eligibility], left_out: dict[str, int]) -> np.ndarray:
    """Return the positions that pass every rule, and count what each took away."""
    kept = np.arange(len(touches))
    for rule in rules:
        mask = np.asarray(rule.mask(touches))
        if mask.dtype != np.bool_ or mask.shape != (len(touches),):
            raise ParameterError(
                f"{rule.name}.mask must return one bool per touch, shape ({len(touches)},). "
                f"Got {mask.dtype} of shape {mask.shape}. Compare arrays of the touches: touches.channel == 0."
            )
        left_out[rule.name] = left_out.get(rule.name, 0) + int((~mask).sum())
        kept, touches = kept[mask], touches.take(mask)
    return kept
