# %% [markdown]
# # The sports shop: order in the app, collect nearby
#
# Shoes are looked at in the app, ordered there, and collected in a shop. A message is worth sending only when a shop
# near the person has **their size**, is open, and has not promised the pair to others. How far do people go, whom to
# write to, and how many pairs may be promised?
#
# **Everything here is simulated** by the next cell: 2,000 people around five shops, 12 shoes in 5 sizes, eight weeks
# in the app, and one earlier wave of messages. Somebody collects the less likely the farther the shop: with a true
# decay of 6 km, which we measure and do not look up.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.optimize import minimize

import omnireco as om
from omnireco import plotting

draw = np.random.default_rng(8)
n, sizes = 2000, np.arange(38, 47, 2)
styles = np.array([f"{kind} {i}" for kind in ("court", "run", "trail") for i in range(1, 5)])
shops = om.data.Shops.from_frame(
    pd.DataFrame(
        {
            "store_id": ["center", "north", "east", "south", "airport"],
            "timezone": "Europe/Berlin",
            "latitude": [52.52, 52.60, 52.52, 52.44, 52.37],
            "longitude": [13.40, 13.38, 13.55, 13.40, 13.51],
        }
    ),
    hours={name: {"mon-fri": "10:00-20:00", "sat": "10:00-18:00"} for name in ["center", "north", "east", "south"]}
    | {"airport": {"daily": "06:00-22:00"}},
)
people = pd.DataFrame(
    {
        "user_id": np.arange(n),
        "latitude": draw.normal(52.5, 0.05, n),
        "longitude": draw.normal(13.42, 0.08, n),
        "size": draw.choice(sizes, n, p=[0.15, 0.2, 0.25, 0.25, 0.15]),
        "timezone": "Europe/Berlin",
        "consent_push": draw.random(n) < 0.8,
        "consent_email": draw.random(n) < 0.6,
    }
)
nearby = shops.near(people, k=3)
near = nearby.to_frame()
taste = np.repeat(draw.dirichlet([0.4, 0.4, 0.4], n), 4, axis=1) * draw.dirichlet(np.full(12, 1.0), n)
taste /= taste.max(axis=1, keepdims=True)  # 1: their favourite shoe


def collects(user, style, km):
    """Return the true probability that a message about a shoe ends with its collection."""
    return 0.5 * taste[user, np.searchsorted(styles, style)] * np.exp(-km / 6)


start = pd.Timestamp("2025-04-07", tz="UTC")
user = np.repeat(np.arange(n), draw.poisson(9, n))
weights = taste[user] / taste[user].sum(axis=1, keepdims=True)
style = styles[(weights.cumsum(axis=1) < draw.random((len(user), 1))).sum(axis=1)]
seen = pd.DataFrame({"user_id": user, "item_id": style, "channel": "app", "event": "view"})
seen["timestamp"] = start + pd.to_timedelta(draw.uniform(0, 56 * 24, len(user)), unit="h").floor("s")
km = near.groupby("user_id")["distance_km"].first().to_numpy()[user]
orders = seen[draw.random(len(seen)) < 0.4 * collects(user, style, km)].assign(event="order")
orders["timestamp"] += pd.Timedelta("5min")
collected = orders[draw.random(len(orders)) < 0.85].assign(channel="store", event="collect")
collected["timestamp"] += pd.to_timedelta(draw.uniform(2, 70, len(collected)), unit="h").floor("s")
log = om.EventLog.from_frame(pd.concat([seen, orders, collected], ignore_index=True))
data = om.Dataset(log, audience=om.Audience.from_frame(people))
data, shops

# %% [markdown]
# ## From the app to the shop
#
# The steps of one person with one shoe, over both channels:

# %%
funnel = om.journeys.funnel(
    data, {"looked": ("view", "app"), "ordered": ("order", "app"), "collected": ("collect", "store")}, within="7D"
)
ax = plotting.funnel_steps(funnel)
ax.set_title("Looked, ordered, collected (simulated)", loc="left", fontsize=11, fontweight="bold")
plt.show()
funnel.table[["step", "people", "share", "low", "high", "median_hours", "stuck"]].round(2)

# %% [markdown]
# ## How far do people go?
#
# In May a wave of messages went out: to each person one of the three shoes that a model had put first, drawn by lot,
# with the nearest shop that had it. Which shop had it was chance, so distance is not mixed up with taste. The
# probability of a collection is taken as *a(rank) exp(-km / decay)*; both are estimated at once by maximum
# likelihood, with an interval from drawing people again.

# %%
past = data.before("2025-05-05")
then = om.models.NextBasket().fit(past).recommend(past.requests(), k=3, exclude_seen=False).to_frame()
wave = then.sample(frac=1.0, random_state=1).drop_duplicates("user_id")
wave = wave.merge(near, on="user_id")
wave = wave[draw.random(len(wave)) < 0.6].drop_duplicates("user_id")  # the nearest of the shops that had it that day
wave["collected"] = draw.random(len(wave)) < collects(
    wave["user_id"], wave["item_id"].to_numpy(), wave["distance_km"].to_numpy()
)


def estimate(rows):
    """Return a(1), a(2), a(3) and the decay in km by maximum likelihood."""
    rank, km, hit = rows["rank"].to_numpy() - 1, rows["distance_km"].to_numpy(), rows["collected"].to_numpy()

    def loss(theta):
        p = np.clip(np.exp(theta[:3][rank] - km * np.exp(-theta[3])), 1e-9, 1 - 1e-9)
        return -np.where(hit, np.log(p), np.log1p(-p)).sum()

    return np.exp(minimize(loss, np.log([0.2, 0.1, 0.1, 8.0]), method="L-BFGS-B").x)


found = estimate(wave)
spread = np.array([estimate(wave.sample(frac=1.0, replace=True, random_state=i)) for i in range(100)])
low, high = np.quantile(spread, [0.025, 0.975], axis=0)
names = ["first of the list, at the door", "second", "third", "decay, km"]
print(f"{len(wave):,} messages, {wave['collected'].sum()} pairs collected")
fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
bins = pd.cut(wave["distance_km"], [0, 2, 4, 6, 8, 10, 13, 20])
rate = wave.groupby(bins, observed=True).agg(
    km=("distance_km", "mean"), rate=("collected", "mean"), people=("collected", "size")
)
error = 1.96 * np.sqrt(rate["rate"] * (1 - rate["rate"]) / rate["people"])
ax.errorbar(rate["km"], rate["rate"], yerr=error, fmt="o", color="#1d2a35", capsize=3, label="collected, by distance")
grid = np.linspace(0, 17, 60)
mean = found[:3][wave["rank"].to_numpy() - 1].mean()
ax.plot(grid, mean * np.exp(-grid / found[3]), color="#0b6e75", lw=2, label=f"estimate: decay {found[3]:.1f} km")
ax.spines[["top", "right"]].set_visible(False)
ax.set(xlabel="km to the shop that was named", ylabel="share collected", ylim=(0, None))
ax.set_title("How far people go (simulated)", loc="left", fontsize=11, fontweight="bold")
ax.legend(frameon=False)
plt.show()
pd.DataFrame({"estimate": found, "low": low, "high": high}, names).round(2)

# %% [markdown]
# ## Which shoes, for whom
#
# The list knows the stock: only shoes that one of a person's three nearest shops has in **their size**. A label for
# each person (size and shops) and the shoes of each label are `eligible=`.

# %%
cells = pd.MultiIndex.from_product([styles, sizes, shops.stores.ids], names=["style", "size", "store_id"])
levels = pd.Series(draw.poisson(0.5, len(cells)), cells, name="pieces").reset_index()
levels["item_id"] = levels["style"] + ", " + levels["size"].astype(str)
stock = om.data.StockLevels.from_frame(levels[["item_id", "store_id", "pieces"]])
reach = near.groupby("user_id")["store_id"].agg(" ".join)
label = people["size"].astype(str) + " " + people["user_id"].map(reach)
there = levels[levels["pieces"] > 0]
shelf = {
    one: np.unique(there[(there["size"] == int(one[:2])) & there["store_id"].isin(one[3:].split())]["style"])
    for one in label.unique()
}
model = om.models.NextBasket().fit(data)
asked = data.requests(people["user_id"])
lists = {
    "every shoe": model.recommend(asked, k=3, exclude_seen=False),
    "there, in their size": model.recommend(asked, k=3, exclude_seen=False, eligible=(label.to_numpy(), shelf)),
}
rows = []
for name, recs in lists.items():
    frame = recs.to_frame()
    has = [style in shelf[label[user]] for user, style in zip(frame["user_id"], frame["item_id"], strict=True)]
    wanted = taste[frame["user_id"], np.searchsorted(styles, frame["item_id"])]
    rows.append((name, np.mean(has), wanted.mean(), (wanted * has).mean()))
pd.DataFrame(rows, columns=["list", "can be collected", "true interest", "interest that can be served"]).round(2)

# %% [markdown]
# A list that knows the stock serves more of what people want, and names nothing that is nowhere near.
#
# ## The plan, and how much to promise
#
# Everybody gets at most one message, at one of two hours of Saturday. `with_shops` names the nearest shop that has
# the pair and is open for two more hours. `Stock` keeps the promises within the pieces: on average, or with a
# certainty.

# %%
wishes = lists["there, in their size"].to_frame()
wishes["probability"] = np.minimum(found[:3], 1.0)[wishes["rank"].to_numpy() - 1]
wishes["item_id"] = wishes["item_id"] + ", " + wishes["user_id"].map(people["size"]).astype(str)
hours = pd.to_datetime(["2025-06-07 09:00", "2025-06-07 16:30"], utc=True)
offered = wishes[["user_id", "item_id", "probability"]].merge(pd.DataFrame({"channel": ["push", "email"]}), how="cross")
offered = offered.merge(pd.DataFrame({"send_at": hours}), how="cross")
touches = om.planning.Candidates.from_frame(
    offered,
    data,
    once_per_item=True,
    worth=om.planning.TouchValue(margin=28.0, channel_cost={"push": 0.01, "email": 0.02}),
).with_shops(
    nearby,
    decay_km=float(found[3]),
    eligibility=[om.planning.OpeningHours(shops, left="2h"), om.planning.InStock(stock)],
)
limits = {
    "no limit": [],
    "on average": [om.planning.Stock(stock)],
    "80 %": [om.planning.Stock(stock, certainty=0.8)],
    "95 %": [om.planning.Stock(stock, certainty=0.95)],
}
plans = {name: om.plan(touches, constraints=[om.FrequencyCap(1), *rules]) for name, rules in limits.items()}
pieces = levels.set_index(["item_id", "store_id"])["pieces"]


def weekends(plan, n_draws=1000):
    """Draw who really comes, by the truth: pairs sold, people who found none, share of shelves that were short."""
    sent = plan.to_frame()
    chance = collects(sent["user_id"], sent["item_id"].str.split(",").str[0].to_numpy(), sent["distance_km"].to_numpy())
    come = draw.random((n_draws, len(sent))) < chance
    shelf_of, row_of = np.unique(sent["item_id"] + "@" + sent["store_id"], return_inverse=True)
    wanted = come @ np.eye(len(shelf_of))[row_of]
    have = pieces.loc[[tuple(one.split("@")) for one in shelf_of]].to_numpy()
    missed = np.maximum(wanted - have, 0)
    return np.column_stack([np.minimum(wanted, have).sum(axis=1), missed.sum(axis=1), (missed > 0).mean(axis=1)])


drawn = {name: weekends(plan) for name, plan in plans.items()}
table = pd.DataFrame(
    {name: one.mean(axis=0) for name, one in drawn.items()}, ["collected", "found none", "shelves short"]
).T
table.insert(0, "messages", [len(plan.to_frame()) for plan in plans.values()])
table.insert(1, "foreseen", [plan.to_frame()["probability"].sum() for plan in plans.values()])
table.round({"foreseen": 0, "collected": 0, "found none": 0, "shelves short": 3})

# %% [markdown]
# Without a limit more people come in vain than find a pair. Fewer come than foreseen, as the decay was estimated longer
# than the true 6 km: the certainty is a margin for that too. What a disappointed customer costs decides between the
# others: the lines are a Saturday's margin less that cost, by the truth.

# %%
cost = np.linspace(0, 100, 101)
fig, axes = plt.subplots(2, 1, figsize=(7.5, 6.6), layout="constrained")
for (name, one), color in zip(drawn.items(), ("#a9b4bd", "#e08e2b", "#5b6fb5", "#0b6e75"), strict=True):
    axes[0].plot(cost, 28 * one[:, 0].mean() - cost * one[:, 1].mean(), color=color, lw=2, label=name)
axes[0].set(xlabel="cost of one person who found none (an input)", ylabel="margin less that cost", ylim=(0, None))
axes[0].legend(frameon=False, title="promise")
axes[0].set_title("How much to promise (simulated)", loc="left", fontsize=11, fontweight="bold")
sent = plans["95 %"].to_frame()
where = people.loc[sent["user_id"]]
place = shops.to_frame().set_index("store_id")
for store, color in zip(place.index, ("#0b6e75", "#e08e2b", "#5b6fb5", "#b0475c", "#7a8b3a"), strict=True):
    mine = (sent["store_id"] == store).to_numpy()
    axes[1].scatter(where["longitude"][mine], where["latitude"][mine], s=8, color=color, alpha=0.6)
    spot = place.loc[store]
    axes[1].plot(
        spot["longitude"], spot["latitude"], "s", ms=9, color=color, mec="black", label=f"{store} ({mine.sum()})"
    )
axes[1].set(xlabel="longitude", ylabel="latitude")
axes[1].set_title("Who is sent to which shop, at 95 % (simulated)", loc="left", fontsize=11, fontweight="bold")
axes[1].legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
for ax in axes:
    ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %% [markdown]
# ## Where the next pairs should go
#
# The price of a limit is what one more pair on that shelf would earn, as foreseen: here nearly the margin, wherever
# more people want the shoe than pairs are there. By shop, how many shelves are worth a delivery, and which comes first:

# %%
prices = plans["on average"].prices.query("constraint == 'Stock' and price > 1").copy()
prices[["item", "shop"]] = prices["row"].str.split(" @ ", expand=True).to_numpy()
first = prices.sort_values("price", ascending=False).groupby("shop").first()["item"]
by_shop = prices.groupby("shop")["price"].agg(["size", "mean"]).join(first).sort_values("size", ascending=False)
by_shop.set_axis(["shelves worth a pair", "price of one more pair", "first to deliver"], axis=1).round(1)

# %% [markdown]
# ## What the manager decides
#
# Values are for one Saturday, by the truth; `low` and `high` hold 95 of 100 simulated Saturdays, and for the decay
# the interval of the estimate.


# %%
def per_saturday(values):
    """Return the mean of a Saturday, and the range of 95 of 100."""
    return values.mean(), *np.quantile(values, [0.025, 0.975])


def crossing(more, less):
    """Return the cost of a disappointed customer from which the second promise is better than the first."""
    collected, missed, _ = drawn[more].mean(axis=0) - drawn[less].mean(axis=0)
    return 28 * collected / missed


steps = list(limits)
turns = [crossing(steps[i], steps[i + 1]) for i in range(3)]
spared = drawn["no limit"][:, 1] - drawn["on average"][:, 1]
rows = [
    (
        "promise no more than the pieces",
        "spared a way in vain",
        *per_saturday(spared),
        f"a way in vain costs under {turns[0]:.0f}",
    ),
    (
        "promise on average",
        "pairs collected",
        *per_saturday(drawn["on average"][:, 0]),
        f"it costs over {turns[1]:.0f}: 80 %",
    ),
    ("promise with 80 %", "pairs collected", *per_saturday(drawn["80 %"][:, 0]), f"it costs over {turns[2]:.0f}: 95 %"),
    ("promise with 95 %", "people in vain", *per_saturday(drawn["95 %"][:, 1]), "rain, which keeps all away at once"),
    ("name shops by distance", "decay in km", found[3], low[3], high[3], "another city: measure again"),
]
pd.DataFrame(rows, columns=["decision", "worth", "value", "low", "high", "what would change it"]).round(1)

# %% [markdown]
# Decide: promise no more than the pieces; take the certainty by what a way in vain costs, at the crossings of the
# lines; deliver where the price of a pair is above the cost of bringing it.
