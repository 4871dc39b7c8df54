"""Beside other libraries: MovieLens-100K under a global time split.

    OMNIRECO_DATA=/path/to/data python benchmarks/peers.py --lists DIR --peer ours     # writes DIR/ours.parquet
    OMNIRECO_DATA=/path/to/data python benchmarks/peers.py --lists DIR --peer irspack  # in the peer's own environment
    OMNIRECO_DATA=/path/to/data python benchmarks/peers.py --lists DIR                 # collects all lists, prints

The SAR row of Recommenders is om.worlds.reproduce("movielens_100k_sar", path).

A peer's environment needs that peer, pandas and pyarrow; omnireco is imported only for `ours` and for collecting.

The time split: the last fifth of all ratings is the test, the fifth before it the validation. Every library gets the
same rows, every rating as a 1. A family has at most six settings; the one with the best NDCG@10 on validation is
fitted again on everything before the test, and only its lists meet the test. Judged are people of the test who were
there before; the truth is what they rated in the test, which is always new to them; all unseen items are ranked.
"""

from __future__ import annotations

import functools
import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from _common import data_folder, header, headline, left_out, options, skip

K = 10
Family = tuple[str, list[dict[str, Any]], Callable[..., Callable[[np.ndarray], pd.DataFrame]]]
PAIRS = {  # the same family in two libraries
    "irspack IALS": "ALS",
    "implicit ALS": "ALS",
    "lenskit ImplicitMF": "ALS",
    "irspack DenseSLIM": "EASE",
    "lenskit EASE": "EASE",
    "rectools EASE": "EASE",
    "irspack SLIM": "SLIM",
    "irspack RP3beta": "RP3beta",
    "implicit BM25": "ItemKNN",
    "implicit Cosine": "ItemKNN",
    "lenskit ItemKNN": "ItemKNN",
}
BLEND = "ours Blend (more tuning)"


def grid(**values: list[Any]) -> list[dict[str, Any]]:
    return [dict(zip(values, row, strict=True)) for row in itertools.product(*values.values())]


EASE = grid(regularization=[50.0, 100.0, 200.0, 400.0, 800.0, 1600.0])
IALS = grid(factors=[16, 32, 64], unobserved_weight=[0.1, 0.3])
SLIM = [{"regularization": r, "sparsity": s} for r, s in ((50.0, 5.0), (100.0, 5.0), (200.0, 5.0))]
RP3 = grid(beta=[0.3, 0.6, 0.9], normalize=[False, True])  # irspack's alpha says nothing on a matrix of ones
RIDGE = 0.02  # of iALS; the same loss in irspack and here


def read() -> pd.DataFrame:
    folder = data_folder("movielens_100k")
    return pd.read_parquet(Path(folder) / "movielens_100k" / "ratings.parquet")


def split(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return training, validation and test, cut where three and four fifths of all ratings have happened."""
    first, second = rows["timestamp"].quantile([0.6, 0.8])
    stamp = rows["timestamp"]
    return rows[stamp < first], rows[(stamp >= first) & (stamp < second)], rows[stamp >= second]


def known(test: pd.DataFrame, past: pd.DataFrame) -> pd.DataFrame:
    return test[test["user_id"].isin(past["user_id"].unique())]


def csr(pairs: pd.DataFrame) -> tuple[sp.csr_matrix, np.ndarray, np.ndarray]:
    """Return the matrix of ones, and the ids of its rows and columns."""
    user, users = pd.factorize(pairs["user_id"], sort=True)
    item, items = pd.factorize(pairs["item_id"], sort=True)
    return (
        sp.csr_matrix((np.ones(len(pairs)), (user, item)), (len(users), len(items))),
        np.array(users),
        np.array(items),
    )


def as_frame(people: np.ndarray, codes: np.ndarray, items: np.ndarray) -> pd.DataFrame:
    n, k = codes.shape
    return pd.DataFrame(
        {"user_id": np.repeat(people, k), "item_id": items[codes.ravel()], "rank": np.tile(np.arange(1, k + 1), n)}
    )


def mean_ndcg(lists: pd.DataFrame, truth: pd.DataFrame) -> float:
    """Return NDCG@10 over the people of the truth: what settings are chosen by, in every environment."""
    hit = lists.merge(truth[["user_id", "item_id"]].drop_duplicates())
    gain = (1 / np.log2(hit["rank"] + 1)).groupby(hit["user_id"]).sum()
    best = np.cumsum(1 / np.log2(np.arange(2, K + 2)))
    ideal = truth.groupby("user_id")["item_id"].nunique().clip(upper=K).map(lambda n: best[n - 1])
    return float((gain.reindex(ideal.index, fill_value=0.0) / ideal).mean())


def ours() -> Iterator[Family]:
    import omnireco as om

    def fit(make: Any, pairs: pd.DataFrame, **setting: Any) -> Callable[[np.ndarray], pd.DataFrame]:
        x = om.Interactions.from_frame(pairs[["user_id", "item_id"]], binary=True)
        model = make(**setting).fit(x)
        return lambda people: model.recommend(x.rows(people), k=K).to_frame()

    def als(**setting: Any) -> Any:
        return om.ALS(regularization=RIDGE, **setting)

    def rp3(**setting: Any) -> Any:
        return om.models.RP3beta(alpha=1.0, **setting)

    knn = grid(similarity=["cosine", "tfidf", "bm25"], neighbors=[50, 200])
    yield "Popularity", [{}], functools.partial(fit, om.Popularity)
    yield "ItemKNN", knn, functools.partial(fit, om.ItemKNN)
    near = grid(similarity=["cosine", "jaccard"], neighbors=[50, 100, 200])
    yield "UserKNN", near, functools.partial(fit, om.models.UserKNN)
    yield "RP3beta", RP3, functools.partial(fit, rp3)
    yield "EASE", EASE, functools.partial(fit, om.EASE)
    yield "ALS", IALS, functools.partial(fit, als)
    yield "SLIM", SLIM, functools.partial(fit, om.models.SLIM)


def implicit() -> Iterator[Family]:
    from implicit.als import AlternatingLeastSquares
    from implicit.nearest_neighbours import BM25Recommender, CosineRecommender

    def fit(make: Any, pairs: pd.DataFrame, **setting: Any) -> Callable[[np.ndarray], pd.DataFrame]:
        x, users, items = csr(pairs)
        model = make(**setting)
        model.fit(x.astype(np.float32), show_progress=False)

        def lists(people: np.ndarray) -> pd.DataFrame:
            rows = np.searchsorted(users, people)
            codes, scores = model.recommend(rows, x[rows].astype(np.float32), N=K, filter_already_liked_items=True)
            return as_frame(people, codes, items)[np.isfinite(scores.ravel()) & (scores.ravel() > -1e30)]

        return lists

    def als(**setting: Any) -> Any:
        return AlternatingLeastSquares(regularization=0.1, random_state=0, num_threads=1, **setting)

    yield "ALS", grid(factors=[16, 32, 64], alpha=[1.0, 4.0]), functools.partial(fit, als)
    yield "BM25", grid(K=[50, 200], B=[0.2, 0.5, 0.75]), functools.partial(fit, BM25Recommender)
    yield "Cosine", grid(K=[20, 50, 100, 200, 400, 800]), functools.partial(fit, CosineRecommender)


def irspack() -> Iterator[Family]:
    import irspack.recommenders as peers

    def fit(make: Any, pairs: pd.DataFrame, **setting: Any) -> Callable[[np.ndarray], pd.DataFrame]:
        x, users, items = csr(pairs)
        model = make(x, **setting).learn()

        def lists(people: np.ndarray) -> pd.DataFrame:
            scores = model.get_score_remove_seen(np.searchsorted(users, people))
            return as_frame(people, np.argsort(-scores, axis=1, kind="stable")[:, :K], items)

        return lists

    def als(x: Any, factors: int, unobserved_weight: float) -> Any:
        return peers.IALSRecommender(x, n_components=factors, alpha0=unobserved_weight, reg=RIDGE)

    def ease(x: Any, regularization: float) -> Any:
        return peers.DenseSLIMRecommender(x, reg=regularization)

    def slim(x: Any, regularization: float, sparsity: float) -> Any:
        both = regularization + sparsity
        return peers.SLIMRecommender(x, alpha=both / x.shape[0], l1_ratio=sparsity / both)

    def rp3(x: Any, beta: float, normalize: bool) -> Any:
        return peers.RP3betaRecommender(x, top_k=200, beta=beta, normalize_weight=normalize)

    yield "IALS", IALS, functools.partial(fit, als)
    yield "RP3beta", RP3, functools.partial(fit, rp3)
    yield "DenseSLIM", EASE, functools.partial(fit, ease)
    yield "SLIM", SLIM, functools.partial(fit, slim)


def rectools() -> Iterator[Family]:
    from rectools import Columns
    from rectools.dataset import Dataset
    from rectools.models import EASEModel, PureSVDModel

    def fit(make: Any, pairs: pd.DataFrame, **setting: Any) -> Callable[[np.ndarray], pd.DataFrame]:
        rows = pairs[["user_id", "item_id"]].assign(weight=1.0, datetime=pairs["timestamp"].dt.tz_localize(None))
        data = Dataset.construct(rows.rename(columns={"weight": Columns.Weight, "datetime": Columns.Datetime}))
        model = make(**setting).fit(data)
        return lambda people: model.recommend(users=people, dataset=data, k=K, filter_viewed=True)[
            ["user_id", "item_id", "rank"]
        ]

    yield "EASE", EASE, functools.partial(fit, EASEModel)
    yield "PureSVD", grid(factors=[8, 16, 24, 32, 48, 64]), functools.partial(fit, PureSVDModel)


def lenskit() -> Iterator[Family]:
    from lenskit.als import ImplicitMFScorer
    from lenskit.batch import recommend
    from lenskit.data import from_interactions_df
    from lenskit.knn import EASEScorer, ItemKNNScorer
    from lenskit.pipeline import topn_pipeline
    from lenskit.training import TrainingOptions

    def fit(make: Any, pairs: pd.DataFrame, **setting: Any) -> Callable[[np.ndarray], pd.DataFrame]:
        pipeline = topn_pipeline(make(**setting))
        data = from_interactions_df(pairs[["user_id", "item_id"]].astype("int64"))
        pipeline.train(data, TrainingOptions(rng=0))

        def lists(people: np.ndarray) -> pd.DataFrame:
            return recommend(pipeline, people.tolist(), n=K, n_jobs=1).to_df()[["user_id", "item_id", "rank"]]

        return lists

    def als(**setting: Any) -> Any:
        return ImplicitMFScorer(regularization=0.1, use_ratings=False, **setting)

    def knn(**setting: Any) -> Any:
        return ItemKNNScorer(feedback="implicit", **setting)

    yield "ImplicitMF", grid(embedding_size=[16, 32, 64], weight=[4, 40]), functools.partial(fit, als)
    yield "ItemKNN", grid(max_nbrs=[5, 10, 20, 50, 100, 200]), functools.partial(fit, knn)
    yield "EASE", EASE, functools.partial(fit, EASEScorer)


PEERS = {"ours": ours, "implicit": implicit, "irspack": irspack, "lenskit": lenskit, "rectools": rectools}


def blend(chosen: dict[str, dict[str, Any]], train: pd.DataFrame, held: pd.DataFrame, past: pd.DataFrame) -> Any:
    """Return a blend of the chosen families with weights found on validation: more tuning than one family has."""
    import omnireco as om

    def matrix(rows: pd.DataFrame) -> om.Interactions:
        return om.Interactions.from_frame(rows[["user_id", "item_id"]], binary=True)

    members = {
        "EASE": om.EASE(**chosen["EASE"]),
        "ALS": om.ALS(regularization=RIDGE, **chosen["ALS"]),
        "UserKNN": om.models.UserKNN(**chosen["UserKNN"]),
        "RP3beta": om.models.RP3beta(alpha=1.0, **chosen["RP3beta"]),
    }
    x, whole = matrix(train), matrix(past)
    known_items = held[held["item_id"].isin(train["item_id"].unique())]
    learned = om.evaluation.learn_blend(om.Blend(models=members), x, matrix(known_items), k=K)
    return learned.weights, (learned.model, x), (learned.estimator.fit(whole), whole)


def write_lists(peer: str, folder: Path, only: list[str]) -> None:
    """Choose each family's setting on validation, and write its lists for the people of the test."""
    from importlib.metadata import version

    train, valid, test = split(read())
    past = pd.concat([train, valid])
    held, asked = known(valid, train), np.sort(known(test, past)["user_id"].unique())
    found, chosen = [], {}
    release = "this library" if peer == "ours" else version(peer)
    for name, settings, fit in PEERS[peer]():
        if only and name not in only:
            continue
        start = perf_counter()
        people = np.sort(held["user_id"].unique())
        values = [mean_ndcg(fit(train, **setting)(people), held) for setting in settings]
        best = int(np.argmax(values))
        chosen[name] = settings[best]
        lists = fit(past, **settings[best])(asked).assign(
            model=f"{peer} {name}", setting=str(settings[best]), valid=values[best], release=release
        )
        found.append(lists)
        seconds = perf_counter() - start
        print(f"  {peer} {name} {settings[best]}: {values[best]:.4f} on validation, {seconds:.0f} s", flush=True)
    if peer == "ours" and {"EASE", "ALS", "UserKNN", "RP3beta"} <= set(chosen):
        weights, (before, x), (mixed, whole) = blend(chosen, train, held, past)
        value = mean_ndcg(before.recommend(x.rows(np.sort(held["user_id"].unique())), k=K).to_frame(), held)
        lists = mixed.recommend(whole.rows(asked), k=K).to_frame()
        setting = str({name: float(weight) for name, weight in weights.items()})
        found.append(lists.assign(model=BLEND, setting=setting, valid=value, release=release))
        print(f"  {BLEND} {setting}: {value:.4f} on validation, where its weights were found", flush=True)
    pd.concat(found, ignore_index=True).to_parquet(folder / f"{peer}.parquet")


def collect(folder: Path) -> None:
    """Print NDCG@10 of all lists in the folder, and pairs of each of ours with the best peer."""
    import omnireco as om

    train, valid, test = split(read())
    past = pd.concat([train, valid])
    truth = known(test, past)[["user_id", "item_id"]]
    for peer in PEERS:
        if not (folder / f"{peer}.parquet").exists():
            left_out(peer, "no lists of it")
    if not any(folder.glob("*.parquet")):
        skip(f"there are no lists in {folder.name}: write them with --peer, each in the environment of the peer")
    rows = pd.concat([pd.read_parquet(file) for file in sorted(folder.glob("*.parquet"))], ignore_index=True)
    about = rows.groupby("model")[["setting", "valid", "release"]].first()
    lists = {name: part[["user_id", "item_id", "rank"]] for name, part in rows.groupby("model")}
    report = om.evaluate(lists, truth, k=K, metrics=[om.ndcg, om.recall])
    frame = report.to_frame()
    table = frame[frame["metric"] == "ndcg"].set_index("model")[["mean", "low", "high"]]
    table["recall"] = frame[frame["metric"] == "recall"].set_index("model")["mean"]
    table = about[["valid", "release", "setting"]].join(table).sort_values("valid", ascending=False)
    people, pairs = truth["user_id"].nunique(), len(truth)
    print(f"\n{len(past):,} ratings before {test['timestamp'].min()}, {people} known people with {pairs:,} after it")
    print(table[["valid", "mean", "low", "high", "recall", "release", "setting"]].round(4).to_string())
    mine = table.index.str.startswith("ours")
    table, mine = table[table.index != BLEND], mine[table.index != BLEND]  # it had more tuning than the rest
    if mine.all() or not mine.any():
        return
    chosen, peer = table.index[mine][0], table.index[~mine][0]
    print(f"\nbest on validation: {chosen} and, of the peers, {peer}; in pairs, minus {peer}:")
    gap = report.differences(peer)
    gap = gap[(gap["metric"] == "ndcg") & gap["model"].str.startswith("ours")]
    print(gap[["model", "difference", "low", "high", "p"]].round(4).to_string(index=False))
    for row in gap.to_dict("records"):
        ours, theirs, ends = (
            table["mean"].get(row["model"]),
            table["mean"][peer],
            [row["difference"], row["low"], row["high"]],
        )
        if ours is not None:
            headline(f"NDCG@{K}, {row['model']}", ours, beside=peer, theirs=theirs, gap=ends)
    gaps = [
        report.differences(peer).query("model == @family")
        for peer, family in ((peer, f"ours {name}") for peer, name in PAIRS.items())
        if {peer, family} <= set(report.models)
    ]
    print("\nthe same family, ours minus the peer's:")
    columns = ["metric", "model", "baseline", "difference", "low", "high", "p"]
    print(pd.concat(gaps).sort_values("metric", kind="stable")[columns].round(4).to_string(index=False))


def main() -> None:
    parser = options(__doc__, quick="one family of the peer")
    parser.add_argument("--lists", type=Path, default=Path("peer-lists"), help="folder of the lists")
    parser.add_argument("--peer", choices=list(PEERS))
    parser.add_argument("--only", nargs="*", default=[], metavar="FAMILY", help="some families of the peer")
    arguments = parser.parse_args()
    header(__doc__)
    if arguments.quick and not arguments.peer and not arguments.lists.exists():
        with tempfile.TemporaryDirectory() as folder:  # a look: one family of ours beside what is installed
            for peer, family in (("ours", "ItemKNN"), ("implicit", "Cosine")):
                try:
                    write_lists(peer, Path(folder), [family])
                except ImportError as missing:
                    left_out(peer, missing)
            collect(Path(folder))
        return
    arguments.lists.mkdir(parents=True, exist_ok=True)
    if arguments.peer:
        try:
            only = arguments.only
            if arguments.quick:
                only = only[:1] or [next(iter(PEERS[arguments.peer]()))[0]]
            write_lists(arguments.peer, arguments.lists, only)
        except ImportError as missing:
            skip(f"{arguments.peer} is not installed here, so it is not run: {missing}")
    else:
        collect(arguments.lists)


if __name__ == "__main__":
    main()
