# %% [markdown]
# # A company whose truth is known
#
# Real data never says what people like, or when they would have answered. `om.simulate` makes a small company in
# which we know both, so we can ask whether the library finds them: **all data here are simulated**. Only the public
# surface is used. The script beside this notebook, `a-company-with-known-truth.py`, is its source; `make notebooks`
# runs it.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import omnireco as om
from omnireco import plotting

world = om.simulate(n_users=600, n_items=80, days=120, seed=11)
data = om.Dataset(
    om.EventLog.from_frame(world.events),
    messages=om.MessageLog.from_frame(world.messages),
    audience=om.Audience.from_frame(world.users),
)
data.events.summary().round(3)

# %% [markdown]
# ## What: do the lists find the tastes?
#
# We learn from the days before a cut and look at the purchases of the two weeks after it. One line is possible only
# here: the list of somebody who knows every taste. No model can be expected to do better than that.

# %%
past, later = data.split("2025-04-22", horizon="14D")  # one cut, for events, messages and consents
worth = om.Weights(events={"view": 1, "purchase": 8}, half_life="60D")
estimators = {
    "popular": om.Popularity(weights=worth),
    "buy again": om.BuyAgain(weights=worth),
    "item-kNN": om.ItemKNN(neighbors=40, weights=worth),
    "EASE": om.EASE(regularization=200, weights=worth),
    "ALS": om.ALS(factors=16, weights=worth, seed=7),
}
models = {name: estimator.fit(past) for name, estimator in estimators.items()}
lists = {name: model.recommend(past.requests(), k=10, exclude_seen=False) for name, model in models.items()}

people, items = world.users["user_id"].to_numpy(), world.items["item_id"].to_numpy()
taste = pd.DataFrame(world.truth.preference(), index=people, columns=items)
taste = taste.rename_axis("user_id").reset_index().melt("user_id", var_name="item_id", value_name="score")
lists["knows every taste"] = om.Recommendations.from_frame(taste).head(10)

report = om.evaluate(lists, later.events.select(events=["purchase"]), k=10)
plotting.comparison(report, "ndcg", title="NDCG of the best 10, higher is better (simulated)")
plt.show()

# %% [markdown]
# Buying again wins, because people of this world have favourites that they buy again and again. Among the models
# that may surprise somebody, EASE is nearest to the list that knows every taste.
#
# The intervals are over people. To compare two models, compare them person by person: an interval that holds 0 says
# that these data cannot tell them apart.

# %%
gap = report.differences("popular")
gap.loc[gap["metric"] == "ndcg", ["model", "difference", "low", "high", "n_users"]].round(3)

# %% [markdown]
# ## When: do the profiles find the hours?
#
# Every person has usual hours, on their own clock. The picture on the left is what the profile learned for everybody
# together, the one on the right is true.

# %%
profile = om.timing.ActivityProfile().fit(om.Dataset(past.events, audience=past.audience))  # without the messages
fig, (left, right) = plt.subplots(1, 2, figsize=(13, 3))
plotting.week(profile.population, title="Learned (simulated)", ax=left)
plotting.week(world.truth.hours.mean(axis=0), title="True (simulated)", ax=right)
plt.show()

# %% [markdown]
# A person has few events, so their own profile is drawn towards everybody's. Is that better than either extreme?
# We can measure the distance to the truth (half the sum of absolute differences: 0 is perfect, 1 is disjoint). People
# whose zone is unknown are left out: nobody can know their hours.

# %%
audience, events = past.audience, past.events
known = audience.users.ids[audience.zone >= 0]
known = known[events.users.codes(known, missing="none") >= 0]
true_hours = pd.DataFrame(world.truth.hours, index=people).loc[known].to_numpy()

local = events.to_frame().merge(world.users[["user_id", "timezone"]], on="user_id").dropna(subset=["timezone"])
hour = pd.concat(
    [
        moment.dt.tz_convert(zone).dt.day_of_week * 24 + moment.dt.tz_convert(zone).dt.hour
        for zone, moment in local.groupby("timezone")["timestamp"]
    ]
)
counts = pd.crosstab(local.loc[hour.index, "user_id"], hour).reindex(index=known, columns=range(168), fill_value=0)
own = (counts.div(counts.sum(axis=1), axis=0)).to_numpy()

distance = {
    "everybody's hours": abs(profile.population - true_hours).sum(axis=1) / 2,
    "own events only": abs(own - true_hours).sum(axis=1) / 2,
    "ActivityProfile": abs(profile.hour_of_week(known) - true_hours).sum(axis=1) / 2,
}
pd.DataFrame(distance).mean().rename("distance to the truth").to_frame().round(3)

# %% [markdown]
# ## Whether, where and when together: a plan
#
# `SendTime` learns from the messages that were answered, `candidates` asks the rules, `plan` chooses.

# %%
recs = models["EASE"].recommend(past.requests(), k=3)
timing = om.SendTime().fit(past)
touches = om.candidates(
    recs,
    past,
    timing,
    om.slots("2025-04-22", days=7, every="1h"),
    channels=["push", "email"],
    eligibility=[om.QuietHours("21:00", "08:00")],
)
limits = [
    om.FrequencyCap(2, per="7D"),
    om.Budget("email", cost=0.01, total=3.0),
    om.Capacity("push", per="1h", limit=30),
]
plan = om.plan(touches, constraints=limits)
plan

# %% [markdown]
# What is it really worth? In this world we can ask: `world.response_probability` is the true chance of an answer. For
# comparison, the same people, items, channels and days with every message at 10:00 on the person's own clock, the
# hour at which this company used to send most.

# %%
week = plan.to_frame()


def true_answers(at):
    chance = [
        world.response_probability(part["user_id"], channel, at[part.index], item_id=part["item_id"]).sum()
        for channel, part in week.groupby("channel")
    ]
    return float(sum(chance))


clock = week["send_at_local"]
ten = week["send_at"] + (clock.dt.normalize() + pd.Timedelta("10h") - clock)
pd.Series(
    {
        "messages": len(week),
        "answers that the plan expects": week["probability"].sum(),
        "true expected answers, at the planned hours": true_answers(week["send_at"]),
        "true expected answers, all at 10:00": true_answers(ten),
    }
).round(1).to_frame("")

# %% [markdown]
# More answers than the plan expects, because `SendTime` does not know which item a message carries, and EASE chose
# items that people like. The hours are worth something here, because in this world people have habits and answers
# depend on them. How much they are worth to you is an experiment to run, not a number to copy.

# %%
plotting.plan_per_hour(plan, week["send_at_local"].dt.hour.to_numpy(), title="{} (simulated)")
plt.show()

# %% [markdown]
# ## What the manager decides


# %%
def of_each(at):
    return sum(
        pd.Series(world.response_probability(part["user_id"], channel, at[part.index], item_id=part["item_id"]),
                  part["user_id"]).groupby(level=0).sum().reindex(week["user_id"].unique(), fill_value=0.0)
        for channel, part in week.groupby("channel")
    )  # fmt: skip


per_person = pd.concat([of_each(week["send_at"]), of_each(ten)], axis=1).to_numpy()
drawn = np.random.default_rng(0).integers(0, len(per_person), (500, len(per_person)))
lifts = [per_person[rows, 0].sum() / per_person[rows, 1].sum() - 1 for rows in drawn]
again = gap[(gap["metric"] == "ndcg") & (gap["model"] == "buy again")].iloc[0]
budget = plan.prices.set_index("constraint").loc["Budget('email')"]
decisions = [
    ("Show what people buy again first", f"{again['difference']:+.3f} NDCG@10 over best-sellers",
     f"{again['low']:+.3f} to {again['high']:+.3f}", "goods that nobody buys twice"),
    ("Send at the planned hours, not at 10:00", f"{per_person[:, 0].sum() / per_person[:, 1].sum() - 1:+.0%} answers",
     f"{np.quantile(lifts, 0.025):+.0%} to {np.quantile(lifts, 0.975):+.0%}", "habits that drift, or none"),
    ("Raise the e-mail budget", f"{budget['price']:.1f} expected answers per further unit", "a price for small changes",
     "an answer that earns less than that"),
]  # fmt: skip
pd.set_option("display.max_colwidth", None)
names = ["decision", "worth (simulated)", "95 % interval", "what would change it"]
pd.DataFrame(decisions, columns=names).set_index("decision")
