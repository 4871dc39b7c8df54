"""File forms of habits, chances and decisions."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from omnireco._forms.parts import Reader, Writer, plain
from omnireco.response.activity import ActivityModel, ChannelCells
from omnireco.response.arms import Posteriors
from omnireco.response.bandit import LinearBandit, LiveBandit
from omnireco.response.channel import ChannelPreference, ChannelPreferenceModel
from omnireco.response.creatives import CreativeModel, Creatives
from omnireco.response.fatigue import FatigueModel
from omnireco.response.profiles import Base, Pooling
from omnireco.response.rates import Habits, Spells
from omnireco.response.reading import ReadingModel
from omnireco.response.segments import Groups
from omnireco.response.send_time import SendTimeModel

__all__ = [
    "pack_activity",
    "pack_bandit",
    "pack_creatives",
    "pack_fatigue",
    "pack_preference",
    "pack_reading",
    "pack_send_time",
    "unpack_activity",
    "unpack_bandit",
    "unpack_creatives",
    "unpack_fatigue",
    "unpack_preference",
    "unpack_reading",
    "unpack_send_time",
]


def pack_activity(model: ActivityModel, out: Writer, prefix: str = "") -> None:
    out.vocabulary(prefix + "users", model.users)
    for name in ("indptr", "hour", "weight", "history", "trust", "gains", "quarters"):
        out.array(prefix + name, getattr(model, name))
    for name in ("theta", "phi", "pi"):
        out.array(prefix + name, getattr(model.base, name))
    for name in Groups._fields:
        out.array(f"{prefix}groups/{name}", getattr(model.groups, name))
    for i, part in enumerate(model.channels.values()):
        out.array(f"{prefix}channels/{i}/strength", np.array([part.strength]))
        for name in ("indptr", "hour", "weight"):
            out.array(f"{prefix}channels/{i}/{name}", getattr(part, name))
    pooling = model.pooling
    out.array(prefix + "pooling", np.array([*pooling.strengths, pooling.hour_width, pooling.day_width]))
    out.fields[prefix + "counts"] = [model.half_life_us, model.n_caused, model.n_without_zone]
    out.fields[prefix + "channels"] = list(model.channels)


def unpack_activity(parts: Reader, prefix: str = "") -> ActivityModel:
    half_life, caused, without_zone = parts.fields[prefix + "counts"]
    a, b, c, d, hour_width, day_width = parts.array(prefix + "pooling").tolist()
    names = ("indptr", "hour", "weight", "history", "trust", "gains", "quarters")
    channels = {
        str(name): ChannelCells(
            float(parts.array(f"{prefix}channels/{i}/strength")[0]),
            *(parts.array(f"{prefix}channels/{i}/{part}") for part in ("indptr", "hour", "weight")),
        )
        for i, name in enumerate(parts.fields[prefix + "channels"])
    }
    return ActivityModel(
        users=parts.vocabulary(prefix + "users"),
        base=Base(*(parts.array(prefix + name) for name in ("theta", "phi", "pi"))),
        groups=Groups(*(parts.array(f"{prefix}groups/{name}") for name in Groups._fields)),
        channels=channels,
        pooling=Pooling((a, b, c, d), hour_width, day_width),
        half_life_us=half_life,
        n_caused=int(caused),
        n_without_zone=int(without_zone),
        **{name: parts.array(prefix + name) for name in names},
    )


_SEND_TIME_ARRAYS = ("rate", "tau", "reading", "own", "follows", "kinds", "curve_parameters", "factor")


def pack_send_time(model: SendTimeModel, out: Writer) -> None:
    pack_activity(model.activity, out, "activity/")
    out.vocabulary("channels", model.channels)
    out.vocabulary("people", model.people)
    for name in _SEND_TIME_ARRAYS:
        out.array(name, getattr(model, name))
    out.fields["assumed"] = [model.base_rate, model.default_tau, model.life, model.n_messages]


def unpack_send_time(parts: Reader) -> SendTimeModel:
    base_rate, default_tau, life, n_messages = parts.fields["assumed"]
    return SendTimeModel(
        activity=unpack_activity(parts, "activity/"),
        **parts.parts(
            ("channels", "people"), ("rate", "tau", "reading", "own", "follows", "kinds", "curve_parameters", "factor")
        ),
        base_rate=float(base_rate),
        default_tau=float(default_tau),
        life=life,
        n_messages=int(n_messages),
    )


_SPELLS = ("row", "channel", "start", "stop", "at", "human", "click", "weight")


_READING = ("tau", "base", "level", "indptr", "machine_share")


_FATIGUE = (
    "coefficient",
    "low",
    "high",
    "unsubscribe",
    "answer_rate",
    "n_messages",
    "indptr",
    "sent_at",
    "per_day",
)


def pack_fatigue(model: FatigueModel, out: Writer) -> None:
    for name in ("users", "channels"):
        out.vocabulary(name, getattr(model, name))
    for name in _FATIGUE:
        out.array(name, getattr(model, name))
    out.fields["numbers"] = [model.common, model.half_life_us, model.unsubscribe_slope]
    out.fields["n_machine"] = model.n_machine


def unpack_fatigue(parts: Reader) -> FatigueModel:
    common, half_life, slope = parts.fields["numbers"]
    known = parts.parts(("users", "channels"), _FATIGUE)
    return FatigueModel(
        **known,
        common=float(common),
        half_life_us=int(half_life),
        unsubscribe_slope=float(slope),
        n_machine=int(parts.fields["n_machine"]),
    )


def pack_reading(model: ReadingModel, out: Writer) -> None:
    for name in ("users", "channels"):
        out.vocabulary(name, getattr(model, name))
    for name in _READING:
        out.array(name, getattr(model, name))
    for name in _SPELLS:
        out.array("spells/" + name, getattr(model.spells, name))
    for name in ("phi", "pi", "appetite"):
        out.array("habits/" + name, getattr(model.habits, name))
    out.fields["habits"] = [model.habits.tilt, *model.habits.strengths]
    out.fields |= {"open_weight": model.open_weight, "n_machine": model.n_machine}
    out.fields["has_activity"] = model.activity is not None
    if model.activity is not None:
        pack_activity(model.activity, out, "activity/")


def unpack_reading(parts: Reader) -> ReadingModel:
    tilt, part, day, hour = (float(number) for number in parts.fields["habits"])
    phi, pi, appetite = (parts.array("habits/" + name) for name in ("phi", "pi", "appetite"))
    return ReadingModel(
        **parts.parts(("users", "channels"), _READING),
        habits=Habits(phi, pi, tilt, (part, day, hour), appetite),
        spells=Spells(*(parts.array("spells/" + name) for name in _SPELLS)),
        activity=unpack_activity(parts, "activity/") if parts.fields["has_activity"] else None,
        open_weight=float(parts.fields["open_weight"]),
        n_machine=int(parts.fields["n_machine"]),
    )


_CREATIVE_ARRAYS = ("item", "tags", "interests", "weights", "spread", "item_offset", "creative_offset", "lean")


def pack_creatives(model: CreativeModel, out: Writer) -> None:
    for name in ("creatives", "items", "users"):
        out.vocabulary(name, getattr(model, name))
    for name in (*_CREATIVE_ARRAYS, "variance", "strays"):
        out.array(name, getattr(model, name))
    out.fields |= {
        "parameters": plain(asdict(model.parameters)),
        "n_messages": model.n_messages,
        "n_machine": model.n_machine,
    }


def unpack_creatives(parts: Reader) -> CreativeModel:
    known = parts.parts(("creatives", "items", "users"), (*_CREATIVE_ARRAYS, "variance", "strays"))
    return CreativeModel(
        parameters=Creatives(**parts.fields["parameters"]),
        n_messages=int(parts.fields["n_messages"]),
        n_machine=int(parts.fields["n_machine"]),
        **known,
    )


_PREFERENCE_ARRAYS = ("group", "a", "b", "group_a", "group_b", "tries", "strengths")


def pack_preference(model: ChannelPreferenceModel, out: Writer) -> None:
    for name in ("users", "channels", "kinds", "groups"):
        out.vocabulary(name, getattr(model, name))
    for name in _PREFERENCE_ARRAYS:
        out.array(name, getattr(model, name))
    out.fields |= {"parameters": asdict(model.parameters), "share": model.share, "n_machine": model.n_machine}


def unpack_preference(parts: Reader) -> ChannelPreferenceModel:
    return ChannelPreferenceModel(
        parameters=ChannelPreference(**parts.fields["parameters"]),
        share=bool(parts.fields["share"]),
        n_machine=int(parts.fields["n_machine"]),
        **parts.parts(("users", "channels", "kinds", "groups"), _PREFERENCE_ARRAYS),
    )


def pack_bandit(live: LiveBandit, out: Writer) -> None:
    state, waiting = live.parts()
    out.vocabulary("arms", live.arms)
    names = ("theta", "cov", "features", "count", "a", "b", "rr", "shared", "spread")
    for name in names:
        out.array(name, getattr(state, name))
    for name, array in waiting.items():
        out.array("waiting/" + name, array)
    numbers = ("d", "surprise", "n_events", "n_fitted", "scale", "level", "offset")
    out.fields |= {"parameters": asdict(live.bandit), "state": {name: getattr(state, name) for name in numbers}}
    out.fields["counts"] = live.counts()


def unpack_bandit(parts: Reader) -> LiveBandit:
    names = ("theta", "cov", "count", "a", "b", "rr", "shared", "spread")
    bandit: LinearBandit = LinearBandit(**parts.fields["parameters"])
    known: dict[str, Any] = (
        parts.fields["state"]
        | {"offset": tuple(parts.fields["state"]["offset"])}
        | {name: parts.array(name) for name in names}
    )
    state = Posteriors(
        regularization=bandit.regularization,
        discount=bandit.discount,
        features=parts.optional("features"),
        **known,
    )
    waiting = {name[8:]: array for name, array in parts.arrays.items() if name.startswith("waiting/")}
    return LiveBandit.from_parts(bandit, parts.vocabulary("arms"), state, waiting, parts.fields["counts"])
