"""What was measured: reports, comparisons, and tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from omnireco._core.form import Form
from omnireco._core.parts import Array, Maybe, coded, demand, numbers, probabilities
from omnireco._core.small import Each, Plain, Text, Whole, settings
from omnireco.causal.estimating import PREFERRED
from omnireco.causal.holdouts.holdout import Holdout
from omnireco.causal.holdouts.holdout_report import HoldoutReport
from omnireco.causal.holdouts.switchback import Switchback, SwitchbackReport
from omnireco.causal.logged import LoggedDecisions
from omnireco.causal.off_policy import OffPolicy
from omnireco.causal.paths.attribution import Attribution
from omnireco.causal.paths.lift_tests import LiftTests
from omnireco.causal.selecting import PolicyChoice
from omnireco.causal.slates import LoggedSlates
from omnireco.causal.substitution.contacts import ContactEffects
from omnireco.causal.substitution.first_use import Displacement
from omnireco.causal.uplift.budget import BudgetPath
from omnireco.causal.uplift.curves import UpliftCurve
from omnireco.causal.uplift.effects import Effects
from omnireco.causal.uplift.experiment import Experiment
from omnireco.causal.uplift.features import Feature
from omnireco.causal.uplift.model import UpliftModel
from omnireco.causal.uplift.uplift import Uplift
from omnireco.data.parts import Ids
from omnireco.data.vocabulary import Vocabulary
from omnireco.evaluation.cards.model_card import ModelCard
from omnireco.evaluation.cards.scorecard import Scorecard
from omnireco.evaluation.channel_report import ChannelReport
from omnireco.evaluation.compare_channels import ChannelComparison
from omnireco.evaluation.learn_blend import LearnedBlend
from omnireco.evaluation.learn_weights import LearnedWeights
from omnireco.evaluation.report import Cell, Report
from omnireco.evaluation.sampled import SampledNegatives
from omnireco.evaluation.search import Search
from omnireco.evaluation.trials.backtest import Backtest
from omnireco.evaluation.trials.space import Between, Trials
from omnireco.evaluation.trials.tune import Tuned
from omnireco.journeys.funnel import Funnel
from omnireco.timing.headroom import Headroom
from omnireco.worlds.reproduce import Reproduction
from omnireco.worlds.simulate import Company

__all__ = ["FORMS"]

_NUMBERS = tuple[float, ...]
_ROW = tuple[str, str, _NUMBERS, _NUMBERS, _NUMBERS, float, str]


def _distinct_cells(parts: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    names = [(cell.model, cell.metric, cell.k) for cell in parts["cells"]]
    models, metrics, ks = (len(set(column)) for column in zip(*names, strict=True)) if names else (0, 0, 0)
    demand(
        len(set(names)) == len(names) == models * metrics * ks, "a report has not one cell for each model, metric and k"
    )


def _estimated(parts: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    table, checks = parts["table"], parts["diagnostics"]
    demand(set(table["estimator"]) <= set(PREFERRED), "an estimate has another name than any of ours")
    demand(set(checks["policy"][checks["refused"] == ""]) <= set(table["policy"]), "a policy has no estimate")


def _effects_fit(parts: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    arms, d = len(parts["experiment"].arms), parts["experiment"].x.shape[1]
    demand(parts["own"].shape[1] == arms - 1 and parts["outcomes"].shape[1] == arms, "effects do not fit the arms")
    linear = [parts[name] is None for name in ("center", "scale", "coefficient", "covariance")]
    demand(len(set(linear)) == 1, "a linear model is not whole")
    demand(linear[0] or parts["coefficient"].shape == (arms - 1, d + 1), "a linear model does not fit the features")
    demand(linear[0] or (parts["scale"] > 0).all(), "a scale is not above 0")


def _plain_rows(table: Reproduction) -> tuple[Any, ...]:
    return tuple(
        tuple(tuple(part.tolist()) if isinstance(part, np.ndarray) else part for part in row) for row in table.rows
    )


def _rows_of(rows: Any) -> tuple[Any, ...]:
    made = []
    for model, by, values, low, high, seconds, setting in rows:
        made.append((model, by, *(np.array(part, np.float64) for part in (values, low, high)), float(seconds), setting))
    return tuple(made)


def _even_rows(parts: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    wide = [len(part) for row in parts["rows"] for part in row[2:5]]
    demand(set(wide) <= {sizes["columns"]}, "rows do not fit the columns")


_OF_DECISIONS = ("rewards", "propensity", "actions", "n_machine", "distribution", "by_logger", "logger")


def _take_decisions(logged: LoggedDecisions) -> dict[str, Any]:
    known = None if logged.people is None else Vocabulary.encode(logged.people, "people")
    arrays = {name: getattr(logged, name) for name in _OF_DECISIONS}
    return {
        "known": Vocabulary(np.empty(0, np.int64)) if known is None else known[0],
        "person": known and known[1],
    } | arrays


def _take_slates(logged: LoggedSlates) -> dict[str, Any]:
    known = None if logged.people is None else Vocabulary.encode(logged.people, "people")
    return {
        "known": Vocabulary(np.empty(0, np.int64)) if known is None else known[0],
        "person": known and known[1],
        "rewards": logged.rewards,
        "propensity": logged.propensity,
    }


def _build_slates(known: Vocabulary, person: np.ndarray | None, **arrays: Any) -> LoggedSlates:
    return LoggedSlates(**arrays, people=None if person is None else known.ids[person])


def _build_decisions(known: Vocabulary, person: np.ndarray | None, **arrays: Any) -> LoggedDecisions:
    return LoggedDecisions(**arrays, people=None if person is None else known.ids[person])


FORMS = (
    Form(
        LoggedDecisions,
        "logged decisions",
        {
            "known": Ids(people=True),
            "rewards": numbers("n"),
            "propensity": probabilities("n"),
            "actions": Maybe(Array(np.int64, ("n",), 0)),
            "person": Maybe(coded("known", "n")),
            "n_machine": Whole(),
            "distribution": Maybe(probabilities("n", "n_actions")),
            "by_logger": Maybe(probabilities("n", "n_loggers")),
            "logger": Maybe(Array(np.int64, ("n",), 0)),
        },
        take=_take_decisions,
        build=_build_decisions,
    ),
    Form(
        LoggedSlates,
        "logged slates",
        {
            "known": Ids(people=True),
            "rewards": numbers("n", "places"),
            "propensity": probabilities("n", "places"),
            "person": Maybe(coded("known", "n")),
        },
        take=_take_slates,
        build=_build_slates,
    ),
    Form(Between, "range of a search"),
    Form(Trials, "trials of a search"),
    Form(PolicyChoice, "policy choice"),
    Form(Backtest, "backtest"),
    Form(Tuned, "tuned"),
    Form(Scorecard, "scorecard"),
    Form(ModelCard, "model card"),
    Form(
        Report,
        "report",
        check=_distinct_cells,
        refit="om.evaluate(models, om.files.erase(test, user_ids), k=...)",
    ),
    Form(ChannelComparison, "channel comparison"),
    Form(ChannelReport, "channel report"),
    Form(
        OffPolicy,
        "off-policy estimate",
        check=_estimated,
    ),
    Form(Experiment, "experiment"),
    Form(UpliftModel, "uplift model", check=_effects_fit),
    Form(Effects, "effects"),
    Form(UpliftCurve, "uplift curve", refit="om.causal.uplift_curve(scores, experiment)"),
    Form(BudgetPath, "budget path", refit="om.causal.budget_path(rewards, experiment, costs=...)"),
    Form(Headroom, "headroom"),
    Form(Holdout, "holdout"),
    Form(HoldoutReport, "holdout report"),
    Form(Switchback, "switchback"),
    Form(SwitchbackReport, "switchback report"),
    Form(Attribution, "attribution"),
    Form(LiftTests, "lift tests"),
    Form(Displacement, "displacement"),
    Form(ContactEffects, "contact effects"),
    Form(Funnel, "funnel"),
    Form(
        Reproduction,
        "reproduction",
        {
            **{name: Text() for name in ("name", "source", "protocol", "split")},
            "columns": Each(Text(), "columns"),
            "rows": Plain(tuple[_ROW, ...]),
            "n_people": Whole(),
        },
        take=lambda table: (
            {name: getattr(table, name) for name in Reproduction.__dataclass_fields__} | {"rows": _plain_rows(table)}
        ),
        build=lambda rows, **rest: Reproduction(rows=_rows_of(rows), **rest),
        check=_even_rows,
    ),
    Form(Cell, "cell of a report", refit="om.evaluate(models, om.files.erase(test, user_ids), k=...)", blind=True),
    *settings(Company, Feature, LearnedBlend, LearnedWeights, SampledNegatives, Search, Uplift),
)
