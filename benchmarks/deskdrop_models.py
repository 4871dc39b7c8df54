"""Every model of the library on DeskDrop, day after day, beside implicit, RecTools and LensKit.

    OMNIRECO_DATA=/path/to/data python benchmarks/deskdrop_models.py [--libraries ours implicit rectools lenskit]

The protocol of deskdrop.py, on every fourth day reported. Every row, ours or a peer's, gets six settings, and the one
with the best NDCG@10 on every twelfth day of July and August 2016 is reported. Personal models of every library get
the last 2, 7 or 30 days alone, which is one of the settings (implicit gets cells that fade with a half-life of 1, 2
or 7 days); people without a history in them get the popularity of a day, ours and theirs. A peer's environment needs
omnireco and that peer; rows are added to what results/deskdrop_models.json has, and the table is over all of them.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from _common import FOLDER, data_folder, header, headline, left_out, options, write
from deskdrop import MIXES, TARGETS, Ask, K, Recent, asked_of, asking, fresh, interval, mixed, run, touched

import omnireco as om

LIVES, WINDOWS = ("1D", "2D", "7D"), (2, 7, 30)
ZONE = "America/Sao_Paulo"
Lists = Mapping[Any, list[Any]]
Scores = Callable[[om.Interactions, np.ndarray], np.ndarray]
Settings = dict[str, Callable[[], Ask]]


def fading(make: Callable[..., Any], name: str = "", values: tuple[Any, ...] = (None,), lives: Any = LIVES) -> Settings:
    """Return settings of one of ours: half-lives of the cells, times values of one parameter."""
    found: Settings = {}
    for life, value in itertools.product(lives, values):
        one = make(weights=om.Weights(half_life=life), **({name: value} if name else {}))
        found[f"{life} {value}" if name else str(life)] = lambda one=one: asking(lambda past: one)
    return found


def lately(make: Callable[..., Any], name: str = "", values: tuple[Any, ...] = (None, None)) -> Settings:
    """Return settings of one of ours: the last days alone, times values of one parameter."""

    def on_days(value: Any, days: int) -> Ask:
        personal = asking(lambda past: Recent(make(**({name: value} if name else {})), f"{days}D"))

        def ask(past: om.Dataset, people: np.ndarray) -> Lists:
            log = past.events.between(
                pd.Timestamp(past.end_us, unit="us", tz="UTC") - pd.Timedelta(days=days), past.end
            )
            warm = people[np.isin(people, log.users.ids[np.unique(log.user)])]
            lists = personal(past, warm) if warm.size else {}
            x = past.matrix(om.Weights(half_life="1D"))
            return listed(x, people, past, lambda user: lists.get(user, []))

        return ask

    return {
        f"{days} days {value}": lambda days=days, value=value: on_days(value, days)
        for days, value in itertools.product(WINDOWS, values)
    }


def fixed(estimators: Mapping[str, Any]) -> Settings:
    """Return settings by name."""
    return {name: lambda one=one: asking(lambda past: one) for name, one in estimators.items()}


def ranked(models: Mapping[str, Any], context: tuple[str, ...], kind: Any, start: str) -> Ask:
    """Return the lists of a ranker, asked at midnight with each person's last channel."""

    def ask(past: om.Dataset, people: np.ndarray) -> Lists:
        ranker = om.Ranker(
            models=models, context=context, ranker=kind, half_lives=("12h", "7D"), requests_from=start, timezone=ZONE
        )
        model, log = ranker.fit(past, threads=1), past.events
        last = pd.Series(log.channel).groupby(log.user).last()
        channel = [log.channels.ids[code] for code in last.loc[log.users.codes(people)]]
        requests = past.requests(people, exclude=touched(past, people), channel=channel)
        lists = model.recommend(requests, k=K, threads=1).to_frame()
        return {user: rows["item_id"].tolist() for user, rows in lists.groupby("user_id", sort=False)}

    return ask


def ours() -> dict[str, Settings]:
    """Return the rows of this library; each has six settings, popularity over all time has none."""
    models = om.models

    def propose(life: str) -> dict[str, Any]:
        return {
            "now": fresh(om.Weights(half_life="12h")),
            "slow": fresh(om.Weights(half_life="3D")),
            "taste": models.RP3beta(weights=om.Weights(half_life=life)),
        }

    slow = om.Weights(half_life="2D")
    starts = tuple(itertools.product(("1D", "2D", "4D"), ("14D", "28D")))
    return {
        "Popularity, of all time": fixed({"": om.Popularity()}),
        "Popularity that ages": fading(
            lambda **how: om.Popularity(by="weight", **how), lives=("6h", "12h", "1D", "2D", "4D", "7D")
        ),
        "RP3beta": lately(models.RP3beta, "beta", (0.3, 0.6)),
        "Blend of popularity that ages and RP3beta": fixed(
            {
                f"{life} {share}": mixed(om.Weights(half_life=life), models.RP3beta(weights=slow), share)
                for life, share in MIXES
            }
        ),
        "TypedEASE": fixed(
            {
                f"{ridge} {days}": Recent(models.TypedEASE(target=TARGETS, regularization=ridge), days)
                for ridge, days in itertools.product((3.0, 10.0, 30.0), ("3D", "7D"))
            }
        ),
        "CrossChannel of RP3beta": fixed(
            {
                f"{life} {how}": models.CrossChannel(
                    estimator=models.RP3beta(weights=om.Weights(half_life=life)), saturation=how, lift=0.0
                )
                for life, how in itertools.product(("1D", "2D", "4D"), ("log", "none"))
            }
        ),
        "BuyAgain": fading(om.BuyAgain, "prior_strength", (1.0, 10.0)),
        "SegmentPopularity, by region": fixed(
            {
                f"{days} {prior}": Recent(models.SegmentPopularity(prior_strength=prior), days)
                for days, prior in itertools.product(("1D", "2D", "7D"), (20.0, 200.0))
            }
        ),
        "ItemKNN": lately(om.ItemKNN, "neighbors", (50, 200)),
        "UserKNN": lately(models.UserKNN, "neighbors", (50, 200)),
        "P3alpha": lately(models.P3alpha, "alpha", (0.6, 1.0)),
        "GFCF": lately(models.GFCF, "low_pass", (0.0, 0.3)),
        "EASE": lately(om.EASE, "regularization", (None, 10.0)),
        "EASE(neighbors=100)": lately(lambda **how: om.EASE(neighbors=100, **how), "regularization", (None, 10.0)),
        "SLIM": lately(lambda **how: models.SLIM(neighbors=50, **how), "regularization", (10.0, 100.0)),
        "ALS": lately(om.ALS, "unobserved_weight", (None, 0.1)),
        "PureSVD": lately(models.PureSVD, "factors", (16, 64)),
        "BPR": lately(lambda **how: models.BPR(iterations=30, **how), "factors", (16, 64)),
        "LogisticMF": lately(models.LogisticMF, "factors", (16, 64)),
        "NextBasket": lately(models.NextBasket, "neighbors", (100, 300)),
        "NextItem": fixed(
            {
                f"{steps} {power}": models.NextItem(
                    weights=om.Weights(step_half_life=steps), trend_power=power, trend_window="2D"
                )
                for steps, power in itertools.product((1.0, 2.0, 4.0), (0.25, 0.5))
            }
        ),
        "SessionKNN": fixed(
            {
                f"{life} {neighbors}": models.SessionKNN(half_life=life, neighbors=neighbors)
                for life, neighbors in itertools.product(LIVES, (100, 500))
            }
        ),
        "Ranker, no context": {
            f"{life} {start}": lambda life=life, start=start: ranked(propose(life), (), "logit", start)
            for life, start in starts
        },
        "Ranker, channel and hour": {
            f"{life} {start}": lambda life=life, start=start: ranked(propose(life), ("channel", "hour"), "logit", start)
            for life, start in starts
        },
    }


def regions(folder: Path) -> om.Audience:
    """Return each person's region, as their first event with one says."""
    columns = ["user_id", "region", "event_time_utc"]
    frame = pd.read_parquet(folder / "deskdrop_articles" / "events.parquet", columns=columns)
    first = frame.sort_values("event_time_utc", kind="stable").groupby("user_id")["region"].first()
    frame = pd.DataFrame({"user_id": first.index, "region": first.fillna("unknown").to_numpy(), "timezone": ZONE})
    return om.Audience.from_frame(frame, attributes=["region"])


def listed(x: om.Interactions, people: np.ndarray, past: om.Dataset, order: Callable[[Any], list[Any]]) -> Lists:
    """Return each person's first K by an order of item ids, without what they touched; what is popular follows."""
    weight = np.asarray(x.csr.sum(axis=0)).ravel()
    popular = x.items.ids[np.argsort(-weight, kind="stable")[:500]].tolist()
    lists = {}
    for user, old in zip(people.tolist(), touched(past, people), strict=True):
        barred = set(old.tolist())
        own = [item for item in order(user) if item not in barred][:K]
        lists[user] = own or [item for item in popular if item not in barred][:K]
    return lists


def implicit() -> dict[str, Settings]:
    """Return the rows of implicit."""
    from implicit.als import AlternatingLeastSquares
    from implicit.bpr import BayesianPersonalizedRanking
    from implicit.lmf import LogisticMatrixFactorization
    from implicit.nearest_neighbours import BM25Recommender, CosineRecommender

    def asks(make: Callable[[], Any], life: str) -> Ask:
        def ask(past: om.Dataset, people: np.ndarray) -> Lists:
            x = past.matrix(om.Weights(half_life=life))
            cells = sp.csr_matrix((x.csr.data.astype(np.float32), x.csr.indices, x.csr.indptr), x.csr.shape, copy=True)
            model, rows = make(), x.users.codes(people)
            model.fit(cells, show_progress=False)
            codes, scores = model.recommend(rows, cells[rows], N=500, filter_already_liked_items=False)
            place = {user: n for n, user in enumerate(people.tolist())}

            def order(user: Any) -> list[Any]:
                good = (codes[place[user]] >= 0) & (np.abs(scores[place[user]]) > 1e-12)
                return x.items.ids[codes[place[user]][good]].tolist()

            return listed(x, people, past, order)

        return ask

    def rows(make: Callable[[Any], Any], values: tuple[Any, Any]) -> Settings:
        return {
            f"{life} {value}": lambda life=life, value=value: asks(lambda: make(value), life)
            for life, value in itertools.product(LIVES, values)
        }

    own: dict[str, Any] = {"random_state": 0, "num_threads": 1}
    return {
        "implicit ALS": rows(lambda a: AlternatingLeastSquares(factors=64, alpha=a, **own), (1.0, 10.0)),
        "implicit BPR": rows(lambda n: BayesianPersonalizedRanking(factors=n, iterations=30, **own), (16, 64)),
        "implicit LogisticMF": rows(lambda n: LogisticMatrixFactorization(factors=n, **own), (16, 64)),
        "implicit BM25": rows(lambda n: BM25Recommender(K=n, num_threads=1), (50, 200)),
        "implicit Cosine": rows(lambda n: CosineRecommender(K=n, num_threads=1), (50, 200)),
    }


def recent_pairs(past: om.Dataset, days: int) -> pd.DataFrame:
    """Return the distinct pairs of the last days, with the time of the last."""
    end = pd.Timestamp(past.end_us, unit="us", tz="UTC")
    log = past.events.between(end - pd.Timedelta(days=days), end)
    frame = pd.DataFrame({"user_id": log.users.ids[log.user], "item_id": log.items.ids[log.item]})
    return frame.assign(datetime=pd.to_datetime(log.at, unit="us")).drop_duplicates(["user_id", "item_id"], keep="last")


def matrix_of_pairs(past: om.Dataset, life: str) -> tuple[om.Interactions, pd.DataFrame]:
    """Return fading cells, as a matrix and as rows of three columns."""
    x = past.matrix(om.Weights(half_life=life))
    cells = x.csr.tocoo()
    keep = cells.data > 1e-6  # what faded away is not sent
    frame = {"user_id": x.users.ids[cells.row[keep]], "item_id": x.items.ids[cells.col[keep]]}
    return x, pd.DataFrame(frame | {"weight": cells.data[keep].astype(np.float64)})


def rectools() -> dict[str, Settings]:
    """Return the rows of RecTools: popularity of the last days, EASE and PureSVD on fading cells."""
    from rectools.dataset import Dataset
    from rectools.models import EASEModel, PopularModel, PureSVDModel

    def lists_of(model: Any, data: Any, frame: pd.DataFrame, x: Any, past: om.Dataset, people: np.ndarray) -> Lists:
        warm = np.intersect1d(people, frame["user_id"].unique())
        k = min(500, frame["item_id"].nunique())
        table = model.fit(data).recommend(users=warm, dataset=data, k=k, filter_viewed=False)
        orders = {user: rows["item_id"].tolist() for user, rows in table.groupby("user_id", sort=False)}
        return listed(x, people, past, lambda user: orders.get(user, []))

    def on_cells(make: Callable[[Any], Any], value: Any, life: str) -> Ask:
        def ask(past: om.Dataset, people: np.ndarray) -> Lists:
            x, frame = matrix_of_pairs(past, life)
            data = Dataset.construct(frame.assign(datetime=pd.Timestamp("2016-01-01")))
            return lists_of(make(value), data, frame, x, past, people)

        return ask

    def popular(hours: int) -> Ask:
        def ask(past: om.Dataset, people: np.ndarray) -> Lists:
            frame = recent_pairs(past, 30).assign(weight=1.0)
            model = PopularModel(period=dt.timedelta(hours=hours))
            return lists_of(model, Dataset.construct(frame), frame, past.matrix(), past, people)

        return ask

    def rows(make: Callable[[Any], Any], values: tuple[Any, Any]) -> Settings:
        return {
            f"{life} {value}": lambda life=life, value=value: on_cells(make, value, life)
            for life, value in itertools.product(LIVES, values)
        }

    return {
        "RecTools Popular": {f"{hours}h": lambda hours=hours: popular(hours) for hours in (12, 24, 36, 48, 96, 168)},
        "RecTools EASE": rows(lambda ridge: EASEModel(regularization=ridge, num_threads=1), (10.0, 100.0)),
        "RecTools PureSVD": rows(lambda n: PureSVDModel(factors=n), (16, 64)),
    }


def lenskit() -> dict[str, Settings]:
    """Return the rows of LensKit, on the pairs of the last days; its ImplicitMF reads fading cells."""
    from lenskit.als import ImplicitMFScorer
    from lenskit.basic.popularity import TimeBoundedPopScore
    from lenskit.batch import recommend
    from lenskit.data import from_interactions_df
    from lenskit.knn import EASEScorer, ItemKNNScorer, UserKNNScorer
    from lenskit.pipeline import topn_pipeline
    from lenskit.training import TrainingOptions

    def lists_of(scorer: Any, frame: pd.DataFrame, x: Any, past: om.Dataset, people: np.ndarray) -> Lists:
        pipeline = topn_pipeline(scorer)
        pipeline.train(from_interactions_df(frame), TrainingOptions(rng=0))
        warm = np.intersect1d(people, frame["user_id"].unique()).tolist()
        orders: dict[Any, list[Any]] = {}
        if warm:
            table = recommend(pipeline, warm, n=200, n_jobs=1).to_df()
            orders = {user: rows["item_id"].tolist() for user, rows in table.groupby("user_id", sort=False)}
        return listed(x, people, past, lambda user: orders.get(user, []))

    def on_days(make: Callable[[Any], Any], value: Any, days: int) -> Ask:
        def ask(past: om.Dataset, people: np.ndarray) -> Lists:
            frame = recent_pairs(past, days)[["user_id", "item_id"]]
            return lists_of(make(value), frame, past.matrix(om.Weights(half_life="1D")), past, people)

        return ask

    def on_cells(factors: int, life: str) -> Ask:
        def ask(past: om.Dataset, people: np.ndarray) -> Lists:
            x, frame = matrix_of_pairs(past, life)
            scorer = ImplicitMFScorer(embedding_size=factors, use_ratings=True, weight=10.0)
            return lists_of(scorer, frame.rename(columns={"weight": "rating"}), x, past, people)

        return ask

    def popular(hours: int) -> Ask:
        def ask(past: om.Dataset, people: np.ndarray) -> Lists:
            cutoff = pd.Timestamp(past.end_us, unit="us") - pd.Timedelta(hours=hours)
            scorer = TimeBoundedPopScore(cutoff=cutoff.to_pydatetime(), score="count")
            frame = recent_pairs(past, 30).rename(columns={"datetime": "timestamp"})
            return lists_of(scorer, frame, past.matrix(), past, people)

        return ask

    def rows(make: Callable[[Any], Any], values: tuple[Any, Any]) -> Settings:
        return {
            f"{days} days {value}": lambda days=days, value=value: on_days(make, value, days)
            for days, value in itertools.product(WINDOWS, values)
        }

    return {
        "LensKit popularity, bounded in time": {
            f"{hours}h": lambda hours=hours: popular(hours) for hours in (12, 24, 36, 48, 96, 168)
        },
        "LensKit ImplicitMF": {
            f"{life} {factors}": lambda life=life, factors=factors: on_cells(factors, life)
            for life, factors in itertools.product(LIVES, (16, 64))
        },
        "LensKit ItemKNN": rows(lambda n: ItemKNNScorer(feedback="implicit", max_nbrs=n), (20, 100)),
        "LensKit UserKNN": rows(lambda n: UserKNNScorer(feedback="implicit", max_nbrs=n), (20, 100)),
        "LensKit EASE": rows(lambda ridge: EASEScorer(regularization=ridge), (10.0, 100.0)),
    }


LIBRARIES = {"ours": ours, "implicit": implicit, "rectools": rectools, "lenskit": lenskit}
BEFORE = "Popularity that ages"


def table_of(rows: Mapping[str, Any]) -> pd.DataFrame:
    """Return one line per row, best first, each paired with popularity that ages."""
    people = {name: pd.Series(row["people"], dtype=float) for name, row in rows.items()}
    table = []
    for name, row in rows.items():
        line = {"model": name, "ndcg": people[name].mean(), "chose": row["chose"], "seconds_a_day": row["seconds"]}
        if BEFORE in people and name != BEFORE:
            gaps = (people[name] - people[BEFORE]).to_numpy()
            line |= {"gap": gaps.mean(), "interval": "{:+.4f} {:+.4f}".format(*interval(gaps))}
        table.append(line | {"setting": row["setting"]})
    return pd.DataFrame(table).sort_values("ndcg", ascending=False)


def main() -> None:
    parser = options(__doc__, quick="every fortieth day, one setting a row")
    parser.add_argument("--every", type=int, default=4, metavar="N", help="every Nth day reported")
    parser.add_argument("--libraries", nargs="+", default=["ours"], choices=list(LIBRARIES))
    parser.add_argument("--only", nargs="*", default=[], metavar="ROW", help="rows whose name holds this")
    arguments = parser.parse_args()
    header(__doc__)
    arguments.every = 40 if arguments.quick else arguments.every
    arguments.quick, quick = False, arguments.quick
    log, choosing, reporting, split, step = asked_of(arguments, one_in=3)
    data = om.Dataset(log, audience=regions(data_folder("deskdrop_articles")))
    file = FOLDER / "deskdrop_models.json"
    found = json.loads(file.read_text()) if file.exists() else {}
    rows: dict[str, Any] = found.get("rows", {}) if found.get("split") == split and found.get("every") == step else {}
    for library in arguments.libraries:
        try:
            wanted = LIBRARIES[library]()
        except ImportError as missing:
            left_out(library, missing)
            continue
        for name, settings in wanted.items():
            if arguments.only and not any(part in name for part in arguments.only):
                continue
            settings = dict(list(settings.items())[:1]) if quick else settings
            try:
                means = [float(run(make(), data, choosing)[0].mean()) for make in settings.values()]
                best = list(settings)[int(np.argmax(means))]
                values, seconds = run(settings[best](), data, reporting)
            except Exception as error:  # noqa: BLE001 - a peer on a day of few events: its row is missing
                print(f"  {name}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
                continue
            people = {str(user): float(value) for user, value in values.items()}
            rows[name] = {
                "library": library,
                "setting": best,
                "chose": max(means),
                "seconds": seconds,
                "people": people,
            }
            print(f"  {name}: {values.mean():.4f}, {seconds:.2f} s a day; {best} of {np.round(means, 4)}", flush=True)
            if not quick:
                write("deskdrop_models", {"split": split, "every": step, "days": len(reporting), "rows": rows})
    table = table_of(rows)
    print("\n" + table.round(4).to_string(index=False), flush=True)
    libraries = table["model"].map(lambda name: rows[name]["library"])
    for library, best in table.groupby(libraries, sort=False).head(1).groupby(libraries, sort=False):
        line = best.iloc[0]
        if BEFORE in rows and line["model"] != BEFORE:
            base = table.set_index("model")["ndcg"][BEFORE]
            gap = [line["gap"], *map(float, line["interval"].split())]
            headline(f"NDCG@10, {library}: {line['model']}", line["ndcg"], beside=BEFORE, theirs=base, gap=gap)


if __name__ == "__main__":
    main()
