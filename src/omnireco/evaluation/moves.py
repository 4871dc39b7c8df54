"""The moves of the search for weights: one number of the weights, or of the estimator, changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import numpy as np

from omnireco._core.checks import shown
from omnireco._core.contract import Estimator
from omnireco.data.events import EventLog
from omnireco.data.weights import Weights
from omnireco.errors import ParameterError

__all__ = [
    "Move",
    "Setting",
    "factor_moves",
    "half_life_moves",
    "joint_moves",
    "level_moves",
    "rarity_moves",
    "scaled_weights",
    "start_of",
    "target_moves",
    "tuning_moves",
    "weight_names",
]

_STEPS = (0.0, 0.25, 0.5, 2.0, 4.0)
_TARGETS = (0.0, 0.25, 0.5, 0.75, 1.0)
_TUNED = ("unobserved_weight", "regularization")  # what must move with the weights, or it is credited to them


@dataclass(frozen=True, slots=True)
class Setting:
    """One point of the search."""

    weights: Weights
    estimator: Estimator

    def ready(self, *, partial_log: bool = False) -> Estimator:
        """Return the estimator with these weights; a part of a log may lack a name that the whole has."""
        weights = replace(self.weights, missing="ignore") if partial_log else self.weights
        return self.estimator.replace(**dict.fromkeys(weight_names(self.estimator), weights))


Move = tuple[str, Callable[[Setting], Setting]]


def weight_names(estimator: Estimator) -> tuple[str, ...]:
    """Return the parameters that hold weights of events: its own, or else those of the estimators inside it."""
    if any(part.name == "weights" and "Weights" in str(part.type) for part in fields(estimator)):  # type: ignore[arg-type]
        return ("weights",)
    return tuple(f"{name}__{own}" for name, part in _inside(estimator) for own in weight_names(part))


def start_of(estimator: Estimator) -> Weights:
    """Return the weights that an estimator has; where it has none, every event counts 1."""
    params = estimator.get_params()
    held = [params[name] for name in weight_names(estimator)]
    if any(other != held[0] for other in held):
        raise ParameterError(
            f"learn_weights searches one Weights, and the members of {type(estimator).__name__} have different ones. "
            f"Give all the same, estimator.replace({weight_names(estimator)[0]}=...), or learn them one by one."
        )
    return held[0] if held and held[0] is not None else Weights()


def half_life_moves(half_lives: Sequence[Any]) -> list[list[Move]]:
    """Return the moves of the half-life, as one group."""

    def change(setting: Setting, value: Any) -> Setting:
        return replace(setting, weights=replace(setting.weights, half_life=value))

    return [[(f"half_life={value}", partial(change, value=value)) for value in half_lives]]


def factor_moves(table: str, name: str, keys: tuple[str, ...], start: Weights) -> list[Move]:
    """Return the moves of one factor that some channels, or event types, share."""

    def change(setting: Setting, step: float) -> Setting:
        return replace(setting, weights=scaled_weights(setting.weights, table, keys, step))

    verdicts = set(start.verdicts or ()) if table == "events" else set()
    steps = [step for step in _STEPS if step or verdicts.isdisjoint(keys)]
    return [(f"{table}[{name}] x {step:g}", partial(change, step=step)) for step in steps]


def level_moves(start: Weights) -> list[list[Move]]:
    """Return the move to all ones: where weights by hand are worse than none, single steps may not lead there."""
    given = [*(start.events or {}).values(), *(start.channels or {}).values()]
    if all(value == 1 for value in given) or min(given) <= 0 or start.targets is not None:
        return []  # what takes away, or is left out, has a meaning that no search may undo

    def level(setting: Setting) -> Setting:
        return replace(setting, weights=replace(setting.weights, events=None, channels=None))

    return [[("all ones", level)]]


def rarity_moves(start: Weights, log: EventLog, target: Iterable[str] = ()) -> list[list[Move]]:
    """Return the moves that let rare types count more, as weights by hand mostly do: views little, purchases much.

    The factor of a type is the root of how many times rarer it is than the commonest one, or the whole of it. Or the
    types of ``target`` count alone.
    """
    names, counts = log.events.ids.tolist(), np.bincount(log.event, minlength=len(log.events))
    if sum(counts > 0) < 2 or start.targets is not None or min((start.events or {}).values(), default=1.0) <= 0:
        return []  # what takes away, or is left out, has a meaning that no search may undo

    def grade(setting: Setting, power: float) -> Setting:
        present = dict(setting.weights.events or {})
        rarer = (counts.max() / np.maximum(counts, 1)) ** power
        factors = {name: float(f"{factor:.2g}") for name, factor in zip(names, rarer, strict=True)}
        return replace(setting, weights=replace(setting.weights, events=present | factors))

    others = dict.fromkeys(sorted(set(names) - set(target)), 0.0)

    def alone(setting: Setting) -> Setting:
        return replace(setting, weights=replace(setting.weights, events=dict(setting.weights.events or {}) | others))

    steps: list[Move] = [
        (f"rare types count more, power {power:g}", partial(grade, power=power)) for power in (0.5, 1.0)
    ]
    return [[*steps, ("the target alone", alone)] if 0 < len(others) < len(names) else steps]


def joint_moves(first: list[list[Move]], second: list[list[Move]]) -> list[list[Move]]:
    """Return two groups as one, with every pair of theirs: one step at a time would end where either alone is best."""
    if not first or not second:
        return [*first, *second]

    def both(setting: Setting, one: Callable[[Setting], Setting], other: Callable[[Setting], Setting]) -> Setting:
        return other(one(setting))

    (ours,), (theirs,) = first, second
    pairs = [(f"{name}, {other}", partial(both, one=move, other=then)) for name, move in ours for other, then in theirs]
    return [[*ours, *theirs, *pairs]]


def target_moves(graded: tuple[str, ...], slopes: Sequence[float] | None, start: Weights) -> list[list[Move]]:
    """Return the moves of the slope of all targets, and of the targets of single types."""
    if slopes is None:
        between = any(0 < abs(value) < 1 for target in (start.targets or {}).values() for value in _all_values(target))
        slopes = (0.25, 0.5, 2.0, 4.0) if between else ()
    powers = [float(slope) for slope in slopes]
    if powers and start.targets is None:
        raise ParameterError(
            "slopes bend the targets of the estimator's weights, which have none. Give "
            "estimator.replace(weights=om.Weights(targets=...))."
        )

    def bend(setting: Setting, power: float) -> Setting:
        bent = {name: _bent(target, power) for name, target in (setting.weights.targets or {}).items()}
        return replace(setting, weights=replace(setting.weights, targets=bent))

    def aim(setting: Setting, name: str, value: float) -> Setting:
        targets = {**(setting.weights.targets or {}), name: value}
        return replace(setting, weights=replace(setting.weights, targets=targets))

    found: list[list[Move]] = [[(f"targets ** {power:g}", partial(bend, power=power)) for power in powers]]
    found += [
        [(f"targets[{name}]={value:g}", partial(aim, name=name, value=value)) for value in _TARGETS] for name in graded
    ]
    return found


def tuning_moves(estimator: Estimator, parameters: Mapping[str, Sequence[Any]] | None, data: Any) -> list[list[Move]]:
    """Return the moves of the estimator's own parameters; those that follow the data start from what ``data`` gives."""

    def put(setting: Setting, name: str, value: Any) -> Setting:
        return replace(setting, estimator=setting.estimator.replace(**{name: value}))

    def scale(setting: Setting, name: str, step: float) -> Setting:
        held = setting.estimator.get_params(deep=False)[name]
        if held is None:
            held = setting.ready(partial_log=True).settled(data).get_params(deep=False)[name]
        return put(setting, name, held * step)

    own = estimator.get_params(deep=False)
    follow = set() if parameters is not None else _following(estimator, data)
    if parameters is not None:
        there = estimator.get_params()
        if unknown := [name for name in parameters if name not in there]:
            raise ParameterError(
                f"parameters names {', '.join(map(shown, unknown))}, and {type(estimator).__name__} has "
                f"{', '.join(map(repr, sorted(own))) or 'none'}."
            )
        return [
            [(f"{name}={value}", partial(put, name=name, value=value)) for value in values]
            for name, values in parameters.items()
        ]
    return [
        [(f"{name} x {step:g}", partial(scale, name=name, step=step)) for step in _STEPS[1:]]
        for name in _TUNED
        if name in follow or (name in own and (own[name] or 0) > 0)
    ]


def _following(estimator: Estimator, data: Any) -> set[str]:
    """Return which of the tuned parameters are left to the data."""
    own, settled = (one.get_params(deep=False) for one in (estimator, estimator.settled(data)))
    return {name for name in _TUNED if name in own and own[name] is None and settled[name]}


def scaled_weights(weights: Weights, table: str, keys: Iterable[str], step: float) -> Weights:
    """Return weights with the factors of some channels, or event types, multiplied."""
    present = dict(getattr(weights, table) or {})
    changed = {**present, **{key: present.get(key, 1.0) * step for key in keys}}
    return replace(weights, channels=changed) if table == "channels" else replace(weights, events=changed)


def _inside(estimator: Estimator) -> Iterator[tuple[str, Estimator]]:
    """Yield the estimators that are parameters of another, by the name under which ``replace`` reaches them."""
    for name, value in estimator.get_params(deep=False).items():
        if isinstance(value, Estimator):
            yield name, value
        elif isinstance(value, Mapping):
            yield from ((f"{name}__{key}", part) for key, part in value.items() if isinstance(part, Estimator))


def _all_values(target: float | Mapping[float, float]) -> Iterable[float]:
    return target.values() if isinstance(target, Mapping) else (target,)


def _bent(target: float | Mapping[float, float], power: float) -> float | Mapping[float, float]:
    if isinstance(target, Mapping):
        return {value: float(np.sign(t) * abs(t) ** power) for value, t in target.items()}
    return float(np.sign(target) * abs(target) ** power)
