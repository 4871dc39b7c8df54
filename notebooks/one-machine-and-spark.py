# %% [markdown]
# # One machine and Spark
#
# The same log, once on this machine and once in Spark with two cores: the behaviour matrix, lists for everybody,
# everybody's hours, best slots, candidates, a plan with its certificate, once with people held out, and an evaluation.
# What must be equal is compared; what may differ within its certificate is shown with it. Only the public surface is
# used. Spark on one laptop is slower than no Spark: the table at the end says by how much, and the how-to page "Beyond
# one machine" from which size on it pays.
# `one-machine-and-spark.py` is the source of this notebook; `make notebooks` runs it where PySpark and Java are
# installed.

# %%
import logging
import os
import sys
import time
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa

import omnireco as om

logging.getLogger("py4j").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="pyspark")
os.environ["PYSPARK_PYTHON"] = sys.executable  # executors run what runs here
os.environ["PYSPARK_SUBMIT_ARGS"] = "--conf spark.ui.showConsoleProgress=false pyspark-shell"
from pyspark.sql import SparkSession

builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
spark = builder.config("spark.sql.shuffle.partitions", "4").config("spark.log.level", "OFF").getOrCreate()
spark.sparkContext.setLogLevel("OFF")

world = om.simulate(n_users=2_000, n_items=200, days=90, seed=7)


def in_spark(frame):
    return spark.createDataFrame(pa.Table.from_pandas(frame, preserve_index=False)).cache()


events, people, sent = in_spark(world.events), in_spark(world.users), in_spark(world.messages)
events.count(), people.count(), sent.count()
log = om.EventLog.from_frame(world.events)
audience, messages = om.Audience.from_frame(world.users), om.MessageLog.from_frame(world.messages)
data = om.Dataset(log, messages=messages, audience=audience)
data

# %%
table = []


def took(what, rows, run):
    """Run, and note how many rows a second that was."""
    begun = time.perf_counter()
    found = run()
    table.append((*what, rows, time.perf_counter() - begun))
    return found


# %% [markdown]
# ## The matrix
#
# `EventLog.scan` takes the DataFrame; Spark groups by person, item, channel and type, and the groups come here. Sums
# are taken in another order, so numbers agree to rounding.

# %%
weights = om.Weights(events={"purchase": 5.0}, half_life="30D", missing="ignore")
x = took(("matrix", "one machine"), len(log), lambda: log.matrix(weights))
y = took(("matrix", "Spark"), len(log), lambda: om.EventLog.scan(events).matrix(weights))
print(x, "same people and items:", x.users == y.users and x.items == y.items)
print(f"largest relative difference of a cell: {np.abs(y.csr.data / x.csr.data - 1).max():.0e}")

# %% [markdown]
# ## Lists for everybody
#
# The model is fitted once. Each executor maps its file and answers batch by batch, without what a person has seen.

# %%
model = om.ALS(factors=16, weights=weights).fit(data)
here = took(("lists", "one machine"), len(x.users), lambda: model.recommend(data.requests(), k=10).to_frame())
lists = om.spark.recommend(model, events, k=10)
there = took(("lists", "Spark"), len(x.users), lambda: lists.toArrow().to_pandas())
keys = ["user_id", "rank"]
there = there.sort_values(keys, ignore_index=True)
same = (here["item_id"].to_numpy() == there["item_id"].to_numpy()).mean()
print(f"{len(here):,} places, the same item in {same:.2%}; scores differ by at most "
      f"{np.abs(here['score'] - there['score']).max():.0e}")  # fmt: skip

# %% [markdown]
# ## Everybody's hours
#
# What a population does at which hour is learned here, once on everybody and once on every tenth person. Sessions are
# counted where the events lie: to the bit those of one machine, and a week of their own for those too whom the sample
# does not know.

# %%
activity = om.timing.ActivityProfile().fit(data)
ids = audience.users.ids
hours = took(("profiles", "one machine"), len(ids), lambda: activity.hour_of_week(ids))
weeks = took(("profiles", "Spark"), len(ids), lambda: om.spark.profiles(
    activity, events, people, messages=sent).toArrow().to_pandas().sort_values("user_id"))  # fmt: skip
print("equal to the bit:", bool((np.stack(weeks["hour_of_week"]) == hours).all()))
tenth = world.events[world.events["user_id"] % 10 == 0]
sample = om.timing.ActivityProfile().fit(om.Dataset(om.EventLog.from_frame(tenth), audience=audience))
weeks = om.spark.profiles(sample, events, people, messages=sent).toArrow().to_pandas().sort_values("user_id")
some = np.stack(weeks["hour_of_week"])
elsewhere = np.abs(some - hours).sum(axis=1).mean() / 2
theirs = (some != sample.population).any(axis=1).mean()
print(f"{theirs:.0%} of {len(ids):,} people have a week of their own; {elsewhere:.1%} of a week lies elsewhere")

# %% [markdown]
# ## Best slots
#
# To the bit: a person's hours depend on the model and the person alone.

# %%
timing = om.SendTime().fit(data)
asked = {"channel": "email", "quiet_hours": ("21:00", "08:00")}
best = took(("best slots", "one machine"), len(audience), lambda: timing.best(
    om.Dataset(audience=audience), "2025-04-14", 7, **asked))  # fmt: skip
slots = om.spark.send_times(timing, people, "2025-04-14", 7, **asked)
theirs = took(("best slots", "Spark"), len(audience), lambda: slots.toArrow().to_pandas())
theirs = theirs.sort_values("user_id", ignore_index=True)
print(
    f"{len(best):,} people; equal:",
    {name: bool((best[name].to_numpy() == theirs[name].to_numpy()).all()) for name in ("send_at", "probability")},
)

# %% [markdown]
# ## Candidates, and a plan with a certificate
#
# Candidates are made per batch of people. The plan has one set of prices for everybody, found by summing the dual over
# the parts, and each part is rounded within its share of the limits. Both plans prove a bound that no plan exceeds, so
# each value lies below the other's bound.

# %%
days = om.slots("2025-04-14", days=3)
recs = om.Recommendations.from_frame(here)
known = om.Dataset(audience=audience, messages=messages)
channels = ["email", "push"]
touches = took(("candidates", "one machine"), len(audience), lambda: om.candidates(
    recs, known, timing, days, channels=channels))  # fmt: skip
many = om.spark.candidates(lists, people, timing, days, channels=channels, messages=sent)
made = took(("candidates", "Spark"), len(audience), lambda: many.toArrow())
print(f"{len(touches):,} touches here, {made.num_rows:,} there")

# %%
rules = [
    om.FrequencyCap(2, per="7D"),
    om.FrequencyCap(1, per="4h"),
    om.planning.OncePerItem(),
    om.Budget("email", cost=0.01, total=8.0),
    om.Capacity("push", per="1h", limit=40),
]
own = om.planning.Candidates.from_frame(touches.to_frame().drop(columns="send_at_local"), om.Dataset(messages=messages))
one = took(("plan", "one machine"), len(touches), lambda: om.plan(own, constraints=rules))
written = in_spark(touches.to_frame().drop(columns=["send_at_local"]))
plan = took(("plan", "Spark"), len(touches), lambda: om.spark.plan(
    written, constraints=rules, messages=sent, n_parts=2))  # fmt: skip
print(one, plan, sep="\n")
pd.DataFrame(
    [("one machine", one.value, one.bound, one.optimality_gap), ("Spark", plan.value, plan.bound, plan.optimality_gap)],
    columns=["plan", "value", "bound", "gap"],
)

# %%
prices = plan.prices.merge(one.prices, on=["constraint", "row"], suffixes=(" Spark", " one"))
prices[["row", "limit one", "used one", "used Spark", "price one", "price Spark"]].head(6).round(3)

# %% [markdown]
# A plan's worth is shown by people who get nothing. The lot hangs on the id alone, so both machines draw the same ones.

# %%
lot = {"constraints": rules, "holdout": 0.1, "experiment": "April"}
one_held = om.plan(own, **lot)
held = om.spark.plan(written, messages=sent, n_parts=2, **lot)
drawn = held.holdout.toArrow().to_pandas().sort_values("user_id", ignore_index=True)
wanted = one_held.holdout.to_frame().sort_values("user_id", ignore_index=True)
print(one_held, held, sep="\n")
print("the same people held out:", bool((drawn[["user_id", "group"]] == wanted[["user_id", "group"]]).all(axis=None)))

# %% [markdown]
# ## Evaluation
#
# Number for number, intervals included: values are measured by person in Spark and resampled here.

# %%
past, later = data.split("2025-03-15")
fitted = om.ALS(factors=16).fit(past)
shown = {
    "als": fitted.recommend(past.requests(), k=10),
    "popular": om.Popularity().fit(past).recommend(past.requests(), k=10),
}
truth = later.events.to_frame()[["user_id", "item_id"]].dropna()
report = took(("evaluation", "one machine"), len(past.users), lambda: om.evaluate(shown, later, k=10))
frames = {name: in_spark(found.to_frame()) for name, found in shown.items()}
same = took(("evaluation", "Spark"), len(past.users), lambda: om.spark.evaluate(frames, in_spark(truth), k=10))
print("equal to the last digit:", report.to_frame().equals(same.to_frame()))
same.to_frame().round(4)

# %% [markdown]
# ## Throughput
#
# Rows a second on this machine, the start of jobs included: 2,000 people are far too few for Spark. What it costs is
# fixed; what it gives is that nobody's memory grows.

# %%
costs = pd.DataFrame(table, columns=["step", "where", "rows", "seconds"])
costs["rows a second"] = (costs["rows"] / costs["seconds"]).round(-1).astype(int)
wide = costs.pivot(index="step", columns="where", values=["seconds", "rows a second"]).round(2)
wide.loc[costs["step"].drop_duplicates()]

# %% [markdown]
# ## What the manager decides
#
# Costs are those of the runs above; sizes are those of the how-to page, where larger runs were measured.

# %%
seconds = costs.pivot(index="step", columns="where", values="seconds")
times = (seconds["Spark"] / seconds["one machine"]).to_dict()
agree = max(one.optimality_gap, plan.optimality_gap)
decisions = [
    ("Learn models and response curves on one machine", f"the matrix {times['matrix']:.0f} times slower in Spark",
     "events beyond one disk: Spark groups, the groups come here"),
    ("Up to a million people: lists, hours, slots and candidates on one machine",
     "{lists:.0f}, {profiles:.0f}, {best slots:.0f} and {candidates:.0f} times slower in Spark, the same answers"
     .format_map(times), "tables that live in Spark, or answers within minutes"),
    ("The plan on one machine while its touches fit", f"{times['plan']:.0f} times slower in Spark, either at most "
     f"{agree:.2%} from the best", "more than some ten million touches"),
    ("Evaluate a sample of people on one machine", f"{times['evaluation']:.0f} times slower in Spark, equal numbers",
     "intervals too wide for the decision"),
]  # fmt: skip
spark.stop()
pd.set_option("display.max_colwidth", None)
names = ["what to run where", "cost (2,000 simulated people)", "what would change it"]
pd.DataFrame(decisions, columns=names).set_index("what to run where")
