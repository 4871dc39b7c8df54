# %% [markdown]
# # Five steps to channels that work together
#
# Customer research, one voice, exchange of data, hyper-personalisation, and a check-list at the end: the plan of most
# omnichannel projects. Here each step is a table or a picture, and the check-list is a scorecard before and after.
#
# **All data here are simulated**: 800 customers and 120 days of `om.simulate`, whose ids and prices are then broken as
# they are in companies: a cookie, a device, a card and an address for one person, and an app with prices of its own in
# the first 60 days. The calls one by one: [channels](../howto/channel-report.md), [identity](../howto/identity.md),
# [quality of data](../howto/data-quality.md), [scorecard](../howto/scorecard.md).

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import omnireco as om
from omnireco import plotting

TEAL, ORANGE, BLUE, SOFT = "#0b6e75", "#e08e2b", "#5b6fb5", "#a9b4bd"
plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "axes.titlelocation": "left",
                     "axes.titleweight": "bold", "axes.titlesize": 11})  # fmt: skip
pd.set_option("display.max_colwidth", None)

world = om.simulate(800, 40, days=120, seed=3, company=om.worlds.Company(messages_per_week=3, unsubscribe=0.01))
start = pd.Timestamp("2025-01-06", tz="UTC")
middle, end = start + pd.Timedelta("60D"), start + pd.Timedelta("106D")
rng = np.random.default_rng(2)
kind_of = {"web": "cookie", "app": "device", "store": "loyalty", "email": "email", "push": "device"}


events = world.events.drop(columns="store_id")
kinds = events["channel"].map(kind_of)
raw = events.assign(user_id=kinds.str[0] + "-" + events["user_id"].astype(str))
late = (events["channel"] == "web") & (events["timestamp"] >= middle)
raw.loc[late, "user_id"] += "-b"  # a new browser
price = events["item_id"].map(world.items.set_index("item_id")["price"])
own = (
    (events["channel"] == "app") & (events["timestamp"] < middle) & events["item_id"].isin(world.items["item_id"][::3])
)
raw["value"] = np.where(
    events["event"] == "view", (price * np.where(own, 0.9, 1.0)).round(2), events["value"]
)  # as shown
messages = world.messages.assign(user_id="e-" + world.messages["user_id"].astype(str))
audience = om.Audience.from_frame(
    world.users.assign(user_id="e-" + world.users["user_id"].astype(str)), attributes=["age_group"]
)
log, sent = om.EventLog.from_frame(raw), om.MessageLog.from_frame(messages)
log, sent

# %% [markdown]
# ## Step 3 comes first: exchange of data
#
# Research on raw ids finds that hardly anybody uses two channels. Log-ins, receipts and clicks in mails link the ids;
# a table of such links makes people of them. A kiosk in the shop, where forty people logged in, joins nobody.

# %%
links = []
for kind, share in {"cookie": 0.8, "device": 0.9, "loyalty": 0.7}.items():
    ids = pd.Series(raw.loc[raw["user_id"].str.startswith(kind[0] + "-"), "user_id"].unique())
    ids = ids[rng.random(len(ids)) < share]
    links.append(
        pd.DataFrame(
            {"id_a": ids, "kind_a": kind, "id_b": "e" + ids.str.replace("-b", "").str[1:], "kind_b": "email"}
        ).assign(linked_at=start)
    )
shared = pd.DataFrame({"id_a": "d-kiosk", "kind_a": "device", "id_b": audience.users.ids[:40], "kind_b": "email"})
links = pd.concat([*links, shared.assign(linked_at=start)], ignore_index=True)
identities = om.identity.Identities.from_links(links, trusted=["email", "loyalty"], max_links={"device": 3})
apart = om.Dataset(log, messages=sent, audience=audience)
joined = om.Dataset(log, messages=sent, audience=audience, identities=identities)
identities.summary()[["kind_a", "kind_b", "used", "shared", "largest_person"]]

# %% [markdown]
# ## Step 1: customer research
#
# The same question to both: who is seen on several channels, and how many journeys that begin on a channel are
# completed, on whichever?

# %%
reports = {
    label: om.evaluation.channel_report(part, window="14D") for label, part in (("raw ids", apart), ("people", joined))
}
rows = []
for label, report in reports.items():
    several = report.channels.set_index("channel").loc["(several)", "share_of_people"]
    web = report.journeys.set_index("started_on").loc["web"]
    rows.append(
        (label, report.n_people, several, web["rate"], web["low"], web["high"], web["elsewhere"] / web["completed"])
    )
names = ["known by", "people", "on several channels", "web journeys completed", "low", "high", "of these elsewhere"]
research = pd.DataFrame(rows, columns=names).set_index("known by")
research.round(2)

# %%
fig, (left, right) = plt.subplots(1, 2, figsize=(13, 3.2), layout="constrained")
for ax, (label, report) in zip((left, right), reports.items(), strict=True):
    plotting.channel_combinations(report, top=6, ax=ax)
    ax.set_title(f"{label} (simulated)", loc="left", fontsize=11, fontweight="bold")
plt.show()

# %% [markdown]
# ## Step 2: one voice
#
# The app had prices of its own in the first 60 days; then all channels took theirs from one list. `one_price` is the
# share of items that a person saw on two channels on one day at different prices. A voice is also how often it speaks:
# messages per week of the most written-to tenth, and who may still be written to.

# %%
card = om.evaluation.scorecard(joined, compare=joined.before(middle), priced="view", every="20D")
voice = card.over_time[
    card.over_time["key"].isin(["one_price", "consent", "pressure"]) & (card.over_time["channel"] == "")
]
voice = voice.assign(period_end=voice["period_end"].dt.strftime("%d %b")).pivot_table(
    index="period_end", columns="key", values="value", sort=False
)
fig, ax = plt.subplots(figsize=(7, 2.8), layout="constrained")
ax.plot(voice.index, voice["one_price"], marker="o", color=ORANGE, label="saw two prices")
ax.plot(voice.index, voice["consent"], marker="o", color=TEAL, label="may be written to")
ax.yaxis.set_major_formatter(plt.matplotlib.ticker.PercentFormatter(1))
ax.set(ylim=(0, 1), xlabel="20 days until", title="One voice (simulated)")
ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
plt.show()
voice.round(2).rename_axis(index="20 days until", columns=None).rename(
    columns={"consent": "may be written to", "one_price": "saw two prices", "pressure": "messages per week"}
)

# %% [markdown]
# ## Step 4: hyper-personalisation
#
# One list for each customer with an address, learned once from what is known of the address alone, and once from the
# person on all channels. Who is unknown gets what is popular. The purchases of the two weeks after the cut judge.

# %%
past, later = joined.split(end, horizon="14D")
worth = om.Weights(events={"view": 1, "add_to_cart": 2, "purchase": 8}, half_life="60D", missing="ignore")
truth = later.events.select(events=["purchase"])
buyers = np.intersect1d(truth.users.ids, audience.users.ids)


def lists(train, *estimators):
    steps = {str(i): one.fit(train) for i, one in enumerate((*estimators, om.Popularity(weights=worth)))}
    chain = om.models.Fallback(steps) if len(steps) > 1 else steps["0"]
    return chain.recommend(train.requests(buyers, new_users=True), k=10, exclude_seen=False)


again = om.BuyAgain(weights=worth)
made = {
    "popular, people": lists(past),
    "buy again, raw ids": lists(apart.before(end), again),
    "buy again, people": lists(past, again),
    "EASE, people": lists(past, om.EASE(regularization=200, weights=worth)),
}
quality = om.evaluate(made, truth, k=10, users=buyers)
fig, ax = plt.subplots(figsize=(8, 2.6), layout="constrained")
plotting.comparison(quality, "ndcg", title="NDCG of the best 10, higher is better (simulated)", ax=ax)
plt.show()
gap = quality.differences("buy again, raw ids")
gap.loc[gap["metric"] == "ndcg", ["model", "difference", "low", "high", "n_users"]].round(3)

# %% [markdown]
# The list is one part; the hour is another. One plan for a week, and what the world truly answers to it: as planned,
# and with the item or the hour that everybody would get.

# %%
usual = again.fit(past)
touches = om.candidates(
    usual.recommend(past.requests(), k=3, exclude_seen=False),
    past,
    om.SendTime().fit(past),
    om.slots(end, days=7, every="1h"),
    channels=["push", "email"],
    eligibility=[om.QuietHours("21:00", "08:00")],
)
plan = om.plan(touches, constraints=[om.FrequencyCap(2, per="7D")])
week = plan.to_frame()
local = week["send_at_local"]
ten = week["send_at"] + (local.dt.normalize() + pd.Timedelta("10h") - local)
popular = past.events.to_frame().query("event == 'purchase'")["item_id"].value_counts().index[0]
person = week["user_id"].str[2:].astype(int)


def answers(item, at):
    chance = pd.Series(0.0, week.index)
    for channel, rows in week.groupby("channel"):
        i = rows.index
        chance[i] = world.response_probability(person[i], channel, at[i], item_id=item[i])
    return chance.groupby(person).sum()


same = pd.Series(popular, week.index)
ways = {
    "the most popular item, at 10:00": answers(same, ten),
    "the most popular item, own hour": answers(same, week["send_at"]),
    "own item, at 10:00": answers(week["item_id"], ten),
    "own item, own hour (the plan)": answers(week["item_id"], week["send_at"]),
}
base = ways["the most popular item, at 10:00"]
picks = np.random.default_rng(0).integers(0, len(base), (1000, len(base)))
rows = []
for label, got in ways.items():
    low, high = np.quantile((got - base).to_numpy()[picks].sum(axis=1), [0.025, 0.975])
    rows.append((label, len(week), got.sum(), (got - base).sum(), low, high))
names = ["week (simulated)", "messages", "true expected answers", "more", "low", "high"]
personal = pd.DataFrame(rows, columns=names).set_index("week (simulated)")
personal.round(1)

# %% [markdown]
# ## Step 5: the check-list
#
# Each point is a number, or says what it needs to become one. Bars are the whole time, marks the first 60 days.

# %%
ax = plotting.scorecard(card)
ax.set_title("Scorecard: bars now, marks the first 60 days (simulated)", loc="left", fontsize=11, fontweight="bold")
plt.show()
card.todo.drop_duplicates("measure")[["measure", "next"]].head(6)

# %% [markdown]
# Read *worse* with care where the log is longer than the one before: days since the last event grow with it. Consent
# does fall: every message makes some people leave, and nobody comes back. And two points stay open: offers are not
# logged with an id, and stock is not known.
#
# ## What the manager decides

# %%
score = card.table.set_index(["key", "channel"])
opt_out = score.loc[("opt_out", "email"), "value"]
spread = 1.96 * np.sqrt(opt_out * (1 - opt_out) / (messages["channel"] == "email").sum())
better = gap[(gap["metric"] == "ndcg") & (gap["model"] == "buy again, people")].iloc[0]
week_long = personal.loc["own item, own hour (the plan)"]
several = research["on several channels"]
voices = card.over_time[card.over_time["key"] == "one_price"]["value"]
per = 100 / len(week)
decisions = [
    ("1, 3: link ids before any research",
     f"{several['people']:.0%} seen on several channels, not {several['raw ids']:.0%}",
     "a count", "people without log-in, card or address"),
    ("2: one price list",
     f"{voices.iloc[0]:.0%} of views on two channels showed two prices, now {voices.iloc[-1]:.0%}",
     "a count", "a channel that leaves the list"),
    ("3: recommend from all channels", f"NDCG@10 {better['difference']:+.2f} over raw ids",
     f"{better['low']:+.2f} to {better['high']:+.2f}", "links that are wrong or few"),
    ("4: own item at the own hour", f"{per * week_long['more']:+.0f} answers per 100 messages",
     f"{per * week_long['low']:+.0f} to {per * week_long['high']:+.0f}", "people without habits: test by lot"),
    ("5: fewer e-mails", f"each e-mail loses {opt_out:.1%} of its readers for good",
     f"{opt_out - spread:.1%} to {opt_out + spread:.1%}", "what a lost address is worth"),
]  # fmt: skip
names = ["step and decision", "worth (simulated)", "interval", "what would change it"]
pd.DataFrame(decisions, columns=names).set_index("step and decision")

# %% [markdown]
# In this world habits are strong and everything else stands still, so the gains are larger than a company should
# expect. What a [holdout](../howto/holdout.md) of one in ten shows is the number to believe.
