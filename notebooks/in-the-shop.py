# %% [markdown]
# # In the shop: the basket from the phone, the stock, and what else would do
#
# Somebody puts a thing in the basket on the phone, looks again on the laptop, and walks into a shop. The clerk scans
# the loyalty card. What should the screen say: the open basket, whether this shop has it, which shop does, and what
# would do instead?
#
# **Everything here is simulated**: 800 people with an app, a website and five shops (`om.simulate`), whose true
# tastes are known; where the shops lie and what they hold is drawn by the next cell. Every table and picture below is
# of that company.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import omnireco as om
from omnireco import plotting
from omnireco.live import Live

draw = np.random.default_rng(4)
world = om.simulate(n_users=800, n_items=80, days=120, seed=20, company=om.worlds.Company(zones=["Europe/Berlin"]))
data = world.dataset()
now = pd.Timestamp("2025-04-25 07:00", tz="UTC")
past = data.before(now)

shops = om.data.Shops.from_frame(
    pd.DataFrame(
        {
            "store_id": ["s1", "s2", "s3", "s4", "s5"],
            "timezone": "Europe/Berlin",
            "latitude": [52.52, 52.60, 52.52, 52.44, 52.37],
            "longitude": [13.40, 13.38, 13.55, 13.40, 13.51],
        }
    )
)
items = world.items.set_index("item_id")
pairs = pd.MultiIndex.from_product([items.index, shops.stores.ids], names=["item_id", "store_id"])
levels = pd.Series(draw.poisson(1.0, len(pairs)), pairs, name="pieces")
stock = om.data.StockLevels.from_frame(levels.reset_index())
past, shops, stock

# %% [markdown]
# ## Do people really cross?
#
# A journey is one person with one item, over all devices, until it is bought.

# %%
report = om.evaluation.channel_report(past, window="14D")
fig, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
plotting.channel_journeys(report, ax=ax)
ax.set_title("Where journeys are completed (simulated)", loc="left", fontsize=11, fontweight="bold")
plt.show()
crossed = report.crossings[report.crossings["started_on"].isin(["app", "web"])].query("journeys > 0")
crossed.assign(median_days=(crossed["median_hours"] / 24).round(1), share=crossed["share"].round(2)).drop(
    columns="median_hours"
)

# %% [markdown]
# ## Open baskets, and what the shops have
#
# Every basket that was begun on a device in the last 14 days and not bought anywhere, of people who have a shop. Does
# their shop have it this morning? If not, which is the nearest that does?

# %%
visits = past.events.select(channels=["store"]).to_frame()
home = visits.groupby("user_id")["store_id"].first()  # here everybody has one shop
carts = om.journeys.unfinished(past, begun="add_to_cart", finished="purchase", within="14D")
carts = (
    carts[carts["user_id"].isin(home.index)].assign(store_id=lambda f: f["user_id"].map(home)).reset_index(drop=True)
)

places = shops.to_frame()
between = shops.near(places.assign(user_id=places["store_id"])[["user_id", "latitude", "longitude"]], k=5).to_frame()
between = between.rename(columns={"user_id": "from", "store_id": "to"})
found = carts.assign(cart=carts.index).merge(between, left_on="store_id", right_on="from")
found["pieces"] = levels.loc[pd.MultiIndex.from_frame(found[["item_id", "to"]])].to_numpy()
nearest = found[found["pieces"] > 0].sort_values("distance_km").drop_duplicates("cart").set_index("cart")
carts = carts.join(nearest[["to", "distance_km", "pieces"]])
km = carts["distance_km"].fillna(np.inf)
carts["where"] = pd.cut(
    km, [-1, 0, 10, 1e6, np.inf], labels=["here", "within 10 km", "farther", "in no shop"], right=True
)
counts = pd.crosstab(carts["store_id"], carts["where"])

fig, ax = plt.subplots(figsize=(8, 2.6), layout="constrained")
left = np.zeros(len(counts))
for label, color in zip(counts.columns, ("#0b6e75", "#e08e2b", "#b0475c", "#a9b4bd"), strict=False):
    ax.barh(counts.index, counts[label], left=left, color=color, label=label)
    left += counts[label].to_numpy()
ax.spines[["top", "right"]].set_visible(False)
ax.set(xlabel="open baskets", ylabel="shop of the person")
ax.set_title("Is what lies in open baskets in their shop? (simulated)", loc="left", fontsize=11, fontweight="bold")
ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()
counts.T.assign(all=counts.sum(), share=(counts.sum() / len(carts)).round(2))

# %% [markdown]
# ## The clerk's screen
#
# `Live` holds what everybody did until a second ago. A person looks at one thing more on the phone on the way; the
# till asks: what is open, is it here, where else, and what would do instead? Substitutes come in two ways, both of
# the same category and in stock in *this* shop: most like the item (`similar_items`), or best for this person
# (`recommend(eligible=...)`).

# %%
model = om.models.NextBasket(weights=om.Weights(events={"purchase": 1})).fit(past)  # people here buy again
alike = model.similar_items(model.items.ids, k=len(model.items) - 1).to_frame()
on_shelf = {store: levels.xs(store, level="store_id").loc[lambda s: s > 0].index for store in shops.stores.ids}
category = items["category"]
shelf = {
    f"{store} {kind}": [item for item in there if category[item] == kind and item in model.items]
    for store, there in on_shelf.items()
    for kind in category.unique()
}
person = int(carts.loc[carts["where"] == "within 10 km", "user_id"].iloc[0])
live = Live(model)
live.backfill(past)
live.observe(
    {"user_id": person, "event": "add_to_cart", "channel": "app", "item_id": "i09", "timestamp": "2025-04-25T06:59:58Z"}
)


def screen(user, at, k=2):
    """Return what the clerk sees: a row for each open basket."""
    store, rows = home[user], []
    for one in live.resume(user, at=at):
        there = shelf[f"{store} {category[one.item_id]}"]
        like = alike[(alike["similar_to"] == one.item_id) & alike["item_id"].isin(there)]["item_id"].head(k)
        best = live.recommend(user, k, at=at, eligible=there, exclude=[one.item_id], exclude_seen=False).items
        others = between[(between["from"] == store) & between["to"].map(levels[one.item_id] > 0)]
        elsewhere = f"{others['to'].iloc[0]}, {others['distance_km'].iloc[0]:.0f} km" if len(others) else "none"
        first = "here" if levels[one.item_id, store] > 0 else elsewhere
        rows.append((one.item_id, one.channel, one.last_at, levels[one.item_id, store], first, list(like), list(best)))
    columns = ["item", "begun on", "last", "pieces here", "nearest with it", "like it, here", "for this person, here"]
    return pd.DataFrame(rows, columns=columns).assign(last=lambda f: f["last"].dt.strftime("%d %b %H:%M"))


screen(person, now).head(5)

# %% [markdown]
# ## How good are the substitutes?
#
# For every open basket whose shop has none: what is offered instead, by four rules, and how likely is the person to
# choose it next? The company is simulated, so the **true** probability is known; 1 is the best that was on the shelf.

# %%
lacking = carts[carts["where"] != "here"].reset_index(drop=True)
labels = (lacking["store_id"] + " " + lacking["item_id"].map(category)).to_numpy()
sold = past.events.select(events=["purchase"]).to_frame()["item_id"].value_counts()
names = [world.users["user_id"], world.items["item_id"]]
truth = pd.Series(world.truth.preference().ravel(), pd.MultiIndex.from_product(names))

rng = np.random.default_rng(1)


def first_there(ranked):
    """Return the first of a ranked list (by the wanted item) that is in the basket's shop and category."""
    return [
        next(item for item in ranked(wanted) if item in shelf[label])
        for wanted, label in zip(lacking["item_id"], labels, strict=True)
    ]


rank_alike = alike.groupby("similar_to")["item_id"].agg(list)
best = model.recommend(past.requests(lacking["user_id"]), k=1, eligible=(labels, shelf), exclude_seen=False)
offers = {
    "any of the category": [rng.choice(shelf[label]) for label in labels],
    "bestseller of the category": first_there(lambda _: sold.index),
    "most like the item": first_there(lambda wanted: rank_alike[wanted]),
    "best for the person": best.items.decode(best.codes[:, 0]),
}
users = lacking["user_id"].to_numpy()


def chosen(offer):
    """Return the true probability that each person chooses what is offered next."""
    return truth.loc[pd.MultiIndex.from_arrays([users, np.asarray(offer)])].to_numpy()


reachable = np.array([truth[user].loc[shelf[label]].max() for user, label in zip(users, labels, strict=True)])
gain = {name: chosen(offer) for name, offer in offers.items()}
someone, row_of = np.unique(users, return_inverse=True)
times = np.stack(
    [np.bincount(rng.integers(0, len(someone), len(someone)), minlength=len(someone)) for _ in range(2000)]
)
times = times[:, row_of]  # people are drawn again, with all of their baskets


def interval(top, bottom):
    """Return a ratio of sums over baskets, with its 95 % interval over people."""
    return top.sum() / bottom.sum(), *np.quantile((times @ top) / (times @ bottom), [0.025, 0.975])


table = pd.DataFrame({name: interval(value, reachable) for name, value in gain.items()}, ["share", "low", "high"]).T
fig, ax = plt.subplots(figsize=(8, 2.4), layout="constrained")
for height, row in enumerate(table.to_dict("records")):
    ax.plot([row["low"], row["high"]], [height, height], color="#a9b4bd", lw=7, solid_capstyle="butt")
    ax.plot(row["share"], height, "o", color="#0b6e75")
ax.spines[["top", "right"]].set_visible(False)
ax.set(
    ylim=(-0.6, 3.6),
    yticks=range(len(table)),
    yticklabels=table.index,
    xlim=(0, 1),
    xlabel="true chance of being chosen; 1: best there",
)
ax.set_title("What is offered instead (simulated)", loc="left", fontsize=11, fontweight="bold")
plt.show()
table.round(2)

# %% [markdown]
# "Most like the item" is what customers also bought: often the thing that goes *with* it. The bestseller of the
# category, which needs no model, is the baseline to beat, and what this person buys again beats it. In this company
# anything of a category serves the same need; where it does not, the category must be finer.
#
# ## What the manager decides

# %%
everyone = pd.Series(1.0, home.index)
has_cart = everyone.index.isin(carts["user_id"]).astype(float)
share = has_cart.mean()
sure = 1.96 * np.sqrt(share * (1 - share) / len(has_cart))
who, of = np.unique(carts["user_id"], return_inverse=True)
again = np.stack([np.bincount(rng.integers(0, len(who), len(who)), minlength=len(who)) for _ in range(2000)])[:, of]
not_here = (carts["where"] != "here").to_numpy(float)
short = (again @ not_here) / again.sum(axis=1)
close = (lacking["where"] == "within 10 km").to_numpy(float)
own, top = gain["best for the person"], gain["bestseller of the category"]
more, low, high = interval(own, top)
rows = [
    (
        "open baskets on the till's screen",
        "of 100 people with a shop have one",
        share,
        share - sure,
        share + sure,
        "few show their card",
    ),
    (
        "the shop's stock beside them",
        "of 100 baskets are not in the shop",
        not_here.mean(),
        *np.quantile(short, [0.025, 0.975]),
        "stock counts that are wrong",
    ),
    (
        "name the nearest shop, up to 10 km",
        "of 100 of these are there",
        *interval(close, np.ones(len(close))),
        "nobody drives that far: measure it",
    ),
    (
        "substitutes by person, not bestsellers",
        "% more often what they choose next",
        more - 1,
        low - 1,
        high - 1,
        "people who never buy again",
    ),
]
decided = pd.DataFrame(rows, columns=["decision", "worth", "value", "low", "high", "what would change it"])
decided[["value", "low", "high"]] = (100 * decided[["value", "low", "high"]]).round(1)
decided

# %% [markdown]
# Decide: show basket, stock and two substitutes on the till. A screen that is right does not yet sell: give it to
# half of the tills by lot and compare, before it is bought for all.
