# %% [markdown]
# # The bank: transfers on the web, the loan in the branch
#
# Three questions of a bank with a website, a call centre and branches. Where does an application for a loan stand that was begun on the web, continued on the phone and signed in the branch? Does everybody hear the same terms on all three? And does the web take business from the branch?
#
# **All data here are simulated**: half a year of 3,000 customers, drawn in the first cell, so that the true effects are known. The calls one by one: [one offer everywhere](../howto/bank.md), [funnels](../howto/funnel.md), [displacement](../howto/displacement.md).

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import omnireco as om
from omnireco import plotting

TEAL, ORANGE, BLUE, RED, SOFT = "#0b6e75", "#e08e2b", "#5b6fb5", "#b0475c", "#a9b4bd"
COLORS = {"web": TEAL, "call": ORANGE, "branch": BLUE}
plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "axes.titlelocation": "left"})

rng, n, weeks = np.random.default_rng(4), 3_000, 26
keen = rng.gamma(4.0, 0.25, n)  # who needs a bank often also takes to the web early
begins = np.maximum(2, rng.normal(24 - 6 * keen, 8, n)).astype(int)  # the week of the first use; after the log: never
rows = [(who, "branch", "visit", "account", 0.1, 0.0) for who in range(n)]
for week in range(weeks):
    online = begins <= week
    at_counter = rng.poisson(np.maximum(0.05, 0.8 * keen - 0.35 * online))  # the truth: 0.35 a week less
    on_web = rng.poisson(0.9 * keen * online)
    for channel, count in (("branch", at_counter), ("web", on_web)):
        rows += [(who, channel, "transfer", "account", 7 * (week + rng.random()), 1.0) for who in np.repeat(range(n), count)]
    rows += [(who, "web", "visit", "account", 7 * week + 0.01, 0.0) for who in np.flatnonzero(begins == week)]
for who in np.flatnonzero(rng.random(n) < 0.45):  # one application each
    day, loan = 7 * weeks * rng.random(), str(rng.choice(["car loan", "home loan"]))
    channel = "web" if begins[who] <= day / 7 and rng.random() < 0.7 else str(rng.choice(["call", "branch"], p=[0.3, 0.7]))
    rows.append((who, channel, "apply", loan, day, 0.0))
    for page in range(1, 6):  # five pages, each perhaps on another channel some days later
        day += rng.exponential(0.02 if rng.random() < 0.7 else 4)
        rows.append((who, channel, "page", loan, day, page / 5))
        if rng.random() < 0.12:
            break
        if rng.random() < 0.15:
            channel = str(rng.choice(["web", "call", "branch"], p=[0.25, 0.35, 0.4]))
    else:
        where = channel if channel != "web" else str(rng.choice(["web", "branch"], p=[0.25, 0.75]))
        rows.append((who, where, "signed", loan, day + rng.exponential(3), rng.gamma(4.0, 3_000.0)))
events = pd.DataFrame(rows, columns=["user_id", "channel", "event", "item_id", "day", "value"])
events = events[events["day"] < 7 * weeks]
events["timestamp"] = pd.Timestamp("2025-01-06", tz="UTC") + pd.to_timedelta(events.pop("day"), unit="D").dt.floor("s")
data = om.Dataset(om.EventLog.from_frame(events))
data

# %% [markdown]
# ## Who does what, where

# %%
counts = events[events["event"].isin(["transfer", "apply", "signed"])].groupby(["event", "channel"]).size().unstack(fill_value=0)
counts = counts.loc[["transfer", "apply", "signed"], list(COLORS)].rename(
    index={"transfer": "transfers", "apply": "loans begun", "signed": "loans signed"}
)
shares = counts.div(counts.sum(axis=1), axis=0)
fig, ax = plt.subplots(figsize=(8, 2.4), layout="constrained")
shares.plot.barh(stacked=True, ax=ax, color=COLORS, width=0.7)
ax.xaxis.set_major_formatter(plt.matplotlib.ticker.PercentFormatter(1))
ax.set(xlim=(0, 1), ylabel="", title="Transfers move to the web, signatures stay in the branch (simulated)")
ax.invert_yaxis()
ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
plt.show()
counts

# %% [markdown]
# ## One application over three channels
#
# The steps count wherever they happen. Each channel alone would see a customer who left.

# %%
steps = {"begun": "apply", "half filled in": "page", "signed": "signed"}
half = om.Dataset(om.EventLog.from_frame(events[(events["event"] != "page") | (events["value"] >= 0.6)]))
funnel = om.journeys.funnel(half, steps, within="60D")
fig, (left, right) = plt.subplots(1, 2, figsize=(12, 3), layout="constrained")
plotting.funnel_steps(funnel, title="How far applications get (simulated)", ax=left)
where = funnel.channels.pivot(index="step", columns="channel", values="attempts").reindex(steps)[list(COLORS)]
where.plot.barh(stacked=True, ax=right, color=COLORS, width=0.7)
right.set(ylabel="", xlabel="applications", title="On which channel each step was reached (simulated)")
right.invert_yaxis()
right.legend(frameon=False)
plt.show()
report = om.evaluation.channel_report(data, completes="signed", starts=["apply", "page"], window="30D")
report.journeys[["started_on", "journeys", "completed", "rate", "low", "high", "elsewhere"]].round(2)

# %% [markdown]
# Who is open, how far did they get, and where was it last touched? `unfinished` reads all channels, so the adviser opens the form on the page where the customer stopped on the web.

# %%
asked = {"begun": "apply", "finished": "signed", "within": "60D", "position": "page"}
found = om.journeys.unfinished(data, **asked)
found.groupby("channel").agg(
    open=("user_id", "size"), median_progress=("progress", "median"), touches=("touches", "mean")
).round(2)

# %%
web_only = om.journeys.unfinished(data.events.select(channels=["web"]), **asked)
key = ["user_id", "item_id"]
known = web_only.merge(found[key].assign(open=True), on=key, how="left")
wrong = int(known["open"].isna().sum())
progress = known.merge(found[[*key, "progress"]], on=key, suffixes=("_web", "_all"))
further = int((progress["progress_all"] > progress["progress_web"]).sum())
pd.Series(
    {
        "open, as the website alone sees it": len(web_only),
        "of these: signed elsewhere (a reminder would be wrong)": wrong,
        "of these: further on the phone or in the branch": further,
    }
).to_frame("applications (simulated)")
