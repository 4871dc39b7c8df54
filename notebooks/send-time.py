# %% [markdown]
# # When to send, and how often
#
# **All data here are simulated**: a company whose truth is known, 600 people, five months, a sender who writes at 10:00
# most of the time, mail proxies that open messages within seconds, and people who tire. Every number below is therefore
# checked against the truth. Only the public surface is used. The script beside this notebook, `send-time.py`, is its
# source; `make notebooks` runs it.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import omnireco as om
from omnireco.timing.explore import explore, power

plt.rcParams.update(
    {"axes.spines.top": False, "axes.spines.right": False, "axes.titlelocation": "left", "axes.titleweight": "bold"}
    | {"axes.titlesize": 11, "axes.titlecolor": "#1d2a35", "axes.edgecolor": "#a9b4bd"}
)
world = om.simulate(
    n_users=600,
    n_items=30,
    days=150,
    seed=5,
    company=om.worlds.Company(messages_per_week=5, share_without_zone=0.0, fatigue=0.2, machine_share=0.25),
)
log = om.EventLog.from_frame(world.events)
sent = om.MessageLog.from_frame(world.messages)
audience = om.Audience.from_frame(world.users)
log, sent

# %% [markdown]
# ## Should we bother at all?
#
# The first question, before anything is sent. Profiles are learned from the first 80 % of the log and judged on the
# rest. `nats` says how much better they foresee later sessions than the population's week does, apart for people with
# little and much history. The verdict may be "do not bother".

# %%
data = om.Dataset(log, messages=sent, audience=audience)
room = om.timing.headroom(data, n_bootstrap=300)
print(room.verdict)
skill = room.skill[room.skill["history"] != "all"]
fig, ax = plt.subplots(figsize=(7, 2.8))
ax.errorbar(
    skill["nats"],
    skill["history"],
    xerr=[skill["nats"] - skill["low"], skill["high"] - skill["nats"]],
    fmt="o",
    color="#0b6e75",
    capsize=3,
)
ax.axvline(0, color="#a9b4bd", lw=1)
ax.set(xlabel="nats per later session over the population's week", ylabel="sessions of history")
ax.set_title("Personal profiles foresee later sessions (simulated)")
plt.tight_layout()
plt.show()

# %% [markdown]
# ## When are people active?
#
# A profile begins as everybody's and is bent by the person's own sessions as far as that has paid off. Three people:
# bars are their raw sessions, the line what was learned, the dashed line the truth.

# %%
activity = om.timing.ActivityProfile().fit(data)
ids = world.users["user_id"].to_numpy()
known = activity.users.codes(ids, missing="none")
few, some, many = np.argsort(np.where(known >= 0, activity.history[known], 0))[[60, 300, 590]]
fig, axes = plt.subplots(1, 3, figsize=(13, 3), sharey=True)
for ax, row in zip(axes, (few, some, many), strict=True):
    raw = activity.counts(known[[row]])[0].reshape(7, 24).sum(axis=0)
    ax.bar(range(24), raw / raw.sum(), color="#a9b4bd", label="raw sessions")
    ax.plot(activity.hour_of_week(ids[[row]])[0].reshape(7, 24).sum(axis=0), color="#0b6e75", lw=2, label="learned")
    ax.plot(world.truth.hours[row].reshape(7, 24).sum(axis=0), color="#1d2a35", ls="--", lw=1.2, label="true")
    ax.set_title(f"{activity.history[known[row]]} sessions (simulated)")
    ax.set_xlabel("hour of the day")
axes[0].set_ylabel("share of the day")
axes[0].legend(frameon=False)
plt.tight_layout()
plt.show()

# %% [markdown]
# ## When do they read what we send?
#
# Opens counted by hour show when *we* send, twice over: answers come soon after 10:00 because that is when messages
# lie there, and the proxies of a quarter of the people open within seconds. The reading clock asks for answers *per
# hour at risk*, and tells machines from people by their delays.

# %%
clock = om.timing.ReadingClock(activity=om.timing.ActivityProfile()).fit(data)
print(clock)
zone = audience.zone[audience.users.codes(sent.users.ids)][sent.user]
hour = om.data.clock.hour_of_week(sent.responded_at, zone, audience.zones)[sent.responded] % 24
raw = np.bincount(hour, minlength=24) / hour.size
true = world.truth.reading.mean(axis=0).reshape(7, 24).sum(axis=0)
learned = clock.hour_of_week(ids).mean(axis=0).reshape(7, 24).sum(axis=0)
fig, ax = plt.subplots(figsize=(8, 3.2))
ax.bar(range(24), raw, color="#a9b4bd", label="opens, as counted")
ax.plot(learned, color="#0b6e75", lw=2, label="reading clock")
ax.plot(true, color="#1d2a35", ls="--", lw=1.2, label="true reading")
ax.set(xlabel="hour of the day", ylabel="share of the day")
ax.set_title("When messages are opened, and when people read (simulated)")
ax.legend(frameon=False)
plt.show()
pd.DataFrame(
    {"hours until the pull is 1/e": clock.tau, "share of opens by machines": clock.machine_share},
    index=clock.channels.ids,
).round(2)

# %% [markdown]
# How far from the truth is each person's reading profile? Half the sum of absolute differences over the 24 hours: 0 is
# perfect, 1 is disjoint. The interval is over people.


# %%
def by_day(profile):
    return profile.reshape(-1, 7, 24).sum(axis=1)


true_day = by_day(world.truth.reading)
opens = np.zeros((len(ids), 24))
np.add.at(opens, (np.searchsorted(ids, sent.users.ids[sent.user[sent.responded]]), hour), 1.0)
opens = np.where(opens.sum(axis=1, keepdims=True) > 0, opens, 1.0)
candidates = {
    "own opens, as counted": opens / opens.sum(axis=1, keepdims=True),
    "everybody's reading clock": np.tile(learned, (len(ids), 1)),
    "own activity": by_day(activity.hour_of_week(ids)),
    "own reading clock": by_day(clock.hour_of_week(ids)),
}
random = np.random.default_rng(0)
rows = []
for name, profile in candidates.items():
    away = np.abs(profile - true_day).sum(axis=1) / 2
    low, high = np.quantile([away[random.integers(0, away.size, away.size)].mean() for _ in range(500)], [0.025, 0.975])
    rows.append((name, away.mean(), low, high))
pd.DataFrame(rows, columns=["profile", "distance to the truth", "low", "high"]).round(3)

# %% [markdown]
# Own opens, as counted, are farther from the truth than everybody's common week. What people do on their own says most
# about when they read; the reading clock adds what their few real answers say, which is a little.

# %% [markdown]
# ## The best slots, and what they earn
#
# `SendTime` turns all of it into the chance of an answer by hour of sending; quiet hours are a mask before the choice.
# Because the world is simulated, the true chance of every choice is known.

# %%
people_only = sent.to_frame().assign(responded_at=lambda f: f["clicked_at"])
clicked = om.Dataset(log, messages=om.MessageLog.from_frame(people_only), audience=audience)
timing = om.SendTime().fit(clicked)
best = timing.best(clicked, "2025-06-09", 1, channel="email", quiet_hours=("21:00", "08:00"))
local = best["send_at_local"]
ten = best["send_at"] + (local.dt.normalize() + pd.Timedelta("10h") - local)
got = world.response_probability(best["user_id"], "email", best["send_at"])
base = world.response_probability(best["user_id"], "email", ten)
drawn = [(got[i].sum() / base[i].sum()) - 1 for i in random.integers(0, len(got), (500, len(got)))]
low, high = np.quantile(drawn, [0.025, 0.975])
print(f"true lift over 10:00 for everybody: {got.sum() / base.sum() - 1:+.0%} ({low:+.0%} to {high:+.0%})")
counts = local.dt.hour.value_counts().reindex(range(24), fill_value=0)
fig, ax = plt.subplots(figsize=(8, 2.8))
ax.bar(counts.index, counts, color="#0b6e75")
ax.axvspan(-0.5, 7.5, color="#a9b4bd", alpha=0.3, lw=0)
ax.axvspan(20.5, 23.5, color="#a9b4bd", alpha=0.3, lw=0)
ax.set(xlabel="local hour chosen", ylabel="people", xlim=(-0.5, 23.5))
ax.set_title("Everybody's best allowed hour, quiet hours shaded (simulated)")
plt.show()

# %% [markdown]
# ## Keep learning
#
# A sender who always takes the best believed hour never finds a better one. `explore` draws hours with exact
# probabilities, mostly good ones, and stores them; later, `om.causal.off_policy` can say what other choices
# would have earned. How many explored messages a lift needs to be seen is known beforehand:

# %%
day = om.slots("2025-06-09", days=1, every="2h").at
chance = timing.slot_probability(audience, np.arange(len(audience)), "email", day)
drawn = explore(
    np.log(chance), user_ids=audience.users.ids, at_us=day, date="2025-06-09", temperature=0.3, floor=0.05, seed=1
)
print(f"propensities from {drawn.propensity.min():.3f} to {drawn.propensity.max():.3f}")
taken = chance[np.arange(len(audience)), drawn.slot].mean()
print(f"believed chance: best {chance.max(axis=1).mean():.4f}, explored {taken:.4f}, even {chance.mean():.4f}")
table = [(lift, *power(0.05, lift, slots=12, share=0.05)) for lift in (0.05, 0.1, 0.2)]
pd.DataFrame(table, columns=["relative lift", "matched", "explored", "sends at 5 %"])

# %% [markdown]
# ## How often is too often?
#
# Each person is only compared with themselves, so that it does not matter that gladly answering people get more. The
# truth here is 0.2 per message of the last seven days. The model has a half-life instead of a window: with one of 3.5
# days a message weighs 0.54 on average over those seven, so 0.2 is 0.37 in its units.

# %%
tired = om.timing.Fatigue().fit(clicked)
table = tired.to_frame()
fig, ax = plt.subplots(figsize=(7, 2))
middle = table["coefficient"]
ax.errorbar(
    middle,
    table["channel"],
    xerr=[middle - table["low"], table["high"] - middle],
    fmt="o",
    color="#0b6e75",
    capsize=3,
)
ax.axvline(0, color="#a9b4bd", lw=1)
ax.set(xlabel="coefficient: an answer is exp(-c) times as likely per fresh message", ylim=(-0.5, 1.5))
ax.set_title(f"Fatigue, half-life {tired.half_life_us / 86_400_000_000:.1f} days (simulated)")
plt.tight_layout()
plt.show()
load = tired.load(ids, [sent.end_us])[:, 0]
cost = tired.cost(ids, "email")
print(f"people had {np.median(load):.1f} fresh messages (middle half {np.quantile(load, 0.25):.1f} to "
      f"{np.quantile(load, 0.75):.1f}); one more e-mail costs {cost.mean():.3f} later answers")  # fmt: skip

# %% [markdown]
# One more message earns its own chance of an answer and costs some later ones.
# `om.candidates(..., value=om.planning.TouchValue(fatigue=tired))`
# takes the cost off the value of every touch, and the planner sends only what is worth it.

# %% [markdown]
# ## What the manager decides

# %%
email = table.set_index("channel").loc["email"]
scale = cost.mean() / email["coefficient"]  # later answers per unit of the coefficient
given_up = 1 - taken / chance.max(axis=1).mean()
decisions = [
    ("Send at each person's best allowed hour, not at 10:00", f"{got.sum() / base.sum() - 1:+.0%} answers",
     f"{low:+.0%} to {high:+.0%}", "people without habits of their own: headroom says so first"),
    ("Explore with one message in twenty", f"costs {0.05 * given_up:.1%} of the answers", "by the model's own chances",
     "hours that the log has tried often enough"),
    ("Charge each e-mail with the answers it costs later", f"{cost.mean():.3f} of an answer, earning {taken:.3f}",
     f"{scale * email['low']:.3f} to {scale * email['high']:.3f}", "people who do not tire: the interval would hold 0"),
]  # fmt: skip
pd.set_option("display.max_colwidth", None)
names = ["decision", "worth (simulated)", "95 % interval", "what would change it"]
pd.DataFrame(decisions, columns=names).set_index("decision")
