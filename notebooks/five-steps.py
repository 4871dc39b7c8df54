# %% [markdown]
# # Five steps to channels that work together
#
# Customer research, one voice, exchange of data, hyper-personalisation, and a check-list at the end: the plan of most omnichannel projects. Here each step is a table or a picture, and the check-list is a scorecard before and after.
#
# **All data here are simulated**: 800 customers and 120 days of `om.simulate`, whose ids and prices are then broken as they are in companies: a cookie, a device, a card and an address for one person, and an app with prices of its own in the first 60 days. The calls one by one: [channels](../howto/channel-report.md), [identity](../howto/identity.md), [quality of data](../howto/data-quality.md), [scorecard](../howto/scorecard.md).

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import omnireco as om
from omnireco import plotting

TEAL, ORANGE, BLUE, SOFT = "#0b6e75", "#e08e2b", "#5b6fb5", "#a9b4bd"
plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "axes.titlelocation": "left",
                     "axes.titleweight": "bold", "axes.titlesize": 11})  # fmt: skip

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
own = (events["channel"] == "app") & (events["timestamp"] < middle) & events["item_id"].isin(world.items["item_id"][::3])
raw["value"] = np.where(events["event"] == "view", (price * np.where(own, 0.9, 1.0)).round(2), events["value"])  # as shown
messages = world.messages.assign(user_id="e-" + world.messages["user_id"].astype(str))
audience = om.Audience.from_frame(world.users.assign(user_id="e-" + world.users["user_id"].astype(str)), attributes=["age_group"])
log, sent = om.EventLog.from_frame(raw), om.MessageLog.from_frame(messages)
log, sent

# %% [markdown]
# ## Step 3 comes first: exchange of data
#
# Research on raw ids finds that nobody uses two channels. Log-ins, receipts and clicks in mails link the ids; a table of such links makes people of them. Nobody is linked by guess.

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
identities.summary()

# %%
reports = {"raw ids": om.evaluation.channel_report(apart, window="14D"), "people": om.evaluation.channel_report(joined, window="14D")}
several = {n: r.channels.set_index("channel").loc["(several)", "share_of_people"] for n, r in reports.items()}
print(several)
card = om.evaluation.scorecard(joined, compare=joined.before(middle), priced="view", every="30D")
print(card.table[["key","channel","value","unit","n_people","before","trend","status"]].to_string())
print(card.over_time[card.over_time.key.isin(["one_price","consent","pressure","crossed"])].to_string())

# %%
past, later = joined.split(end, horizon="14D")
raw_past = apart.before(end)
worth = om.Weights(events={"view": 1, "add_to_cart": 2, "purchase": 8}, half_life="60D")
who = audience.users.ids
lists = {}
for label, train in (("raw", raw_past), ("joined", past)):
    for n, est in {"popular": om.Popularity(weights=worth), "EASE": om.EASE(regularization=200, weights=worth), "again": om.BuyAgain(weights=worth)}.items():
        model = est.fit(train)
        lists[f"{n} {label}"] = model.recommend(train.requests(), k=10, exclude_seen=False)
        print(n, label, lists[f"{n} {label}"])
truth = later.events.select(events=["purchase"])
users = np.array([u for u in truth.users.ids if str(u).startswith("e-")])
print(len(users), len(truth.users.ids))
try:
    rep = om.evaluate(lists, truth, k=10, users=users)
    print(rep.to_frame() if hasattr(rep, "to_frame") else rep)
except Exception as e: print(type(e), e)
