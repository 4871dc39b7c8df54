# %% [markdown]
# # Streaming: watch here, resume there
#
# A streaming service with two devices, phone and television, in four time zones. It wants to send reminders by each
# person's own clock, to show the artwork that suits the person *and* the screen, to take likes and dislikes seriously,
# and to bring people back to the film that they did not finish, on whatever device.
#
# **All data here are SIMULATED**: drawn in the first cell, so that results can be compared with the truth.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import omnireco as om
from omnireco import plotting
from omnireco.live import Live, Rules

colors = ["#0b6e75", "#e08e2b", "#5b6fb5", "#b0475c"]
plt.rcParams.update(
    {"axes.spines.top": False, "axes.spines.right": False, "axes.titlelocation": "left", "axes.titleweight": "bold"}
    | {"axes.titlesize": 11, "axes.titlecolor": "#1d2a35", "axes.edgecolor": "#a9b4bd"}
)
pd.set_option("display.max_colwidth", None)
rng = np.random.default_rng(20)
n, start = 2000, pd.Timestamp("2025-02-03")
genres, devices = np.array(["comedy", "crime", "nature", "romance"]), np.array(["phone", "tv"])
films = pd.DataFrame({"item_id": [f"{g}-{i:02d}" for g in genres for i in range(50)], "category": genres.repeat(50)})
people = pd.DataFrame(
    {
        "user_id": np.arange(1001, 1001 + n),
        "timezone": rng.choice(["Europe/Berlin", "America/New_York", "America/Sao_Paulo", "Asia/Tokyo"], n),
        "consent_phone": rng.random(n) < 0.8,
        "consent_tv": rng.random(n) < 0.8,
    }
)
loves, hates = np.array([rng.choice(4, 2, replace=False) for _ in range(n)]).T  # a genre each
per_day = rng.choice([0.06, 0.2, 1.0], n)  # visits: some come now and then, some every day
peak = np.column_stack([rng.choice([7.5, 12.5, 17.5], n), rng.normal(20.5, 1.2, n)])  # local hour on phone, on tv
share_tv = rng.beta(2, 2, n)
tastes = np.full((n, 4), 0.2)
tastes[np.arange(n), loves], tastes[np.arange(n), hates] = 0.5, 0.1


def attention(person, device, hour):
    """The truth: how readily a reminder at this local hour is answered, 0 to 1."""
    away = np.abs((hour - peak[person, device] + 12) % 24 - 12)
    return 0.1 + 0.9 * np.exp(-((away / 1.8) ** 2) / 2)


def history(person):
    """One person's visits. Whoever has not come back to a film by the next day is reminded by lot, one in two."""
    days = np.sort(rng.uniform(0, 84, rng.poisson(per_day[person] * 84))).astype(int)
    device = (rng.random(days.size) < share_tv[person]).astype(int)
    visits = sorted(zip(24.0 * days + rng.normal(peak[person, device], 1.0), device, strict=True))
    events, sent, lots, film, reached = [], [], [], None, 0.0
    for number, (hour, on) in enumerate(visits):
        if film is None or rng.random() < 0.1:  # something new; else they go on with the film they left
            film, reached = 50 * rng.choice(4, p=tastes[person]) + rng.integers(50), 0.0
            events.append((hour, on, film, "play", np.nan))
        hated, loved = film // 50 == hates[person], film // 50 == loves[person]
        reached += (1 - reached) * (1.0 if rng.random() < 0.65 - 0.3 * hated else rng.uniform(0.1, 0.8))
        events.append((hour + 0.5, on, film, "watch", reached))
        if reached < 1:
            if hated and rng.random() < 0.5:
                events.append((hour + 0.6, on, film, "dislike", np.nan))
                film = None
                continue
            by, at = rng.integers(2), 24 * (hour // 24 + 1) + rng.uniform(8, 21)
            if number + 1 < len(visits) and visits[number + 1][0] < at + 1:
                continue  # they were back by then
            reminded = rng.random() < 0.5
            visits_before = sum(what == "watch" and at - 336 <= when < at for when, _, _, what, _ in events)
            lots.append((at, film, reminded, visits_before))
            opened = reminded and rng.random() < 0.9 * attention(person, by, at % 24)
            if reminded:
                sent.append((at, by, film, at + 0.2 if opened else np.nan))
            if not opened:
                continue
            hour, on = at, by
            events.append((hour + 0.5, on, film, "watch", 1.0))
        events.append((hour + 0.9, on, film, "finish", 1.0))
        if rng.random() < (0.6 if loved else 0.1):
            events.append((hour + 0.95, on, film, "like", np.nan))
        film = None
    return events, sent, lots


def frame(rows, columns):
    """Rows per person as a frame; hours since the start on their own clock become instants."""
    found = pd.DataFrame([row for one in rows for row in one], columns=columns)
    person = np.repeat(np.arange(n), [len(one) for one in rows])
    zone = people["timezone"].to_numpy()[person]
    found.insert(0, "user_id", people["user_id"].to_numpy()[person])
    for name in {"timestamp", "sent_at", "responded_at"} & set(columns):
        clock = start + pd.to_timedelta((found[name] * 3600).round(), unit="s")
        parts = [own.dt.tz_localize(name_, ambiguous=True, nonexistent="shift_forward").dt.tz_convert("UTC")
                 for name_, own in clock.groupby(zone)]  # fmt: skip
        found[name] = pd.concat(parts).sort_index()
    found["item_id"] = films["item_id"].to_numpy()[found["item_id"]]
    return found.assign(channel=devices[found["channel"]]) if "channel" in columns else found


events, sent, lots = zip(*[history(person) for person in range(n)], strict=True)
log = frame(events, ["timestamp", "channel", "item_id", "event", "value"])
reminders = frame(sent, ["sent_at", "channel", "item_id", "responded_at"])
lots = frame(lots, ["sent_at", "item_id", "reminded", "visits"])
data = om.Dataset(
    om.EventLog.from_frame(log.assign(device=log["channel"]), context=["device"]),
    messages=om.MessageLog.from_frame(reminders),
    audience=om.Audience.from_frame(people),
    catalog=om.Catalog.from_frame(films),
)
now = "2025-04-21"
past, later = data.split(now)
past

# %% [markdown]
# ## Everybody's own clock
#
# In UTC the evening of Tokyo is the morning of New York, and a service that writes at 19:00 UTC writes to Tokyo at four
# in the morning. On local clocks all four zones watch alike: on the phone on the way, on television in the evening.

# %%
zone = log["user_id"].map(people.set_index("user_id")["timezone"])
local = pd.concat([own.dt.tz_convert(name).dt.hour for name, own in log["timestamp"].groupby(zone)]).sort_index()
fig, axes = plt.subplots(1, 2, figsize=(11, 3), sharey=True, layout="constrained")
for ax, hour, name in ((axes[0], log["timestamp"].dt.hour, "UTC"), (axes[1], local, "local")):
    for place, color in zip(sorted(set(people["timezone"])), colors, strict=True):
        share = hour[zone == place].value_counts(normalize=True).reindex(range(24), fill_value=0)
        ax.plot(share, color=color, label=place)
    ax.set(xlabel=f"{name} hour", title=f"Activity by {name} hour (SIMULATED)")
axes[0].set_ylabel("share of events")
axes[1].legend(frameon=False, loc="upper left")
plt.show()

# %% [markdown]
# `SendTime` learns the hour of each person and device from activity and from answers to earlier reminders. Because the
# world is simulated, the chosen hours can be compared with the truth: how readily people answer at that hour.

# %%
timing = om.SendTime().fit(past)
print(timing.rests_on)


def over_people(values):
    """A mean over people, with its bootstrap interval."""
    draws = [np.mean(values[i]) for i in np.random.default_rng(0).integers(0, len(values), (500, len(values)))]
    return [np.mean(values), *np.quantile(draws, [0.025, 0.975])]


rows = []
for code, device in enumerate(devices):
    best = timing.best(past, now, 1, channel=device, quiet_hours=("22:00", "07:00"))
    person = best["user_id"].to_numpy() - 1001
    offset = (best["send_at_local"].dt.tz_localize("UTC") - best["send_at"]).dt.total_seconds().to_numpy() / 3600
    hour = best["send_at_local"].dt.hour.to_numpy()
    got = attention(person, code, hour)
    for name, other in (("19:00 UTC for all", (19 + offset) % 24), ("20:00 local for all", np.full(len(best), 20))):
        base = attention(person, code, other)
        rows.append((device, name, base.mean(), got.mean(), *over_people(got - base)))
hours = pd.DataFrame(rows, columns=["device", "against", "its attention", "own hour", "gain", "low", "high"])
hours.round(3)

# %% [markdown]
# Against 19:00 UTC the gain is large; on television it is nearly all in the local clock, as everybody watches in the
# evening, and one common local hour would do there. On the phone it takes the person's own hour.

# %% [markdown]
# ## Artwork per person and device
#
# Each film has three images: a face, a scene, its title. Which was shown was drawn by lot, with known propensity. A
# creative's effect depends on the person's taste and on the screen. A device on which something is shown is a channel:
# `Creatives(channel="tv")` learns from that screen alone and chooses per person, and
# `candidates(creatives={"phone": ..., "tv": ...})` takes one choice per screen. `difference` is what choosing by person
# earns over the one best image for all, from the same messages.

# %%
styles = ["face", "scene", "title"]
art = films.loc[films.index.repeat(3), ["item_id"]].reset_index(drop=True)
art["creative_id"] = art["item_id"] + "-" + np.tile(styles, len(films))
art = art.assign(face=np.tile([1.0, 0, 0], len(films)), scene=np.tile([0, 1.0, 0], len(films)))
m = 24_000
whom, film, which, on = rng.integers(0, n, m), rng.integers(0, 200, m), rng.integers(0, 3, m), rng.integers(0, 2, m)
romantic, thrilled = tastes[:, 3] - 0.25, tastes[:, 1] - 0.25  # what the truth takes of a taste
logit = (
    -2.2
    + (which == 0) * (0.8 * (on == 0) + 7.0 * romantic[whom])  # faces: for small screens, and the romantic
    + (which == 1) * (0.8 * (on == 1) + 7.0 * thrilled[whom])  # scenes: for large screens, and friends of crime
)
shown_at = pd.Timestamp("2025-02-03", tz="UTC") + pd.to_timedelta(np.sort(rng.uniform(0, 84 * 1440, m)), "min")
shown = pd.DataFrame(
    {
        "user_id": people["user_id"].to_numpy()[whom],
        "item_id": films["item_id"].to_numpy()[film],
        "creative_id": art["creative_id"].to_numpy()[3 * film + which],
        "channel": devices[on],
        "sent_at": shown_at.round("s"),
        "responded_at": pd.Series(shown_at.round("s")).where(rng.random(m) < 1 / (1 + np.exp(-logit))),
        "propensity": 1 / 3,
    }
)
finished = log[(log["event"] == "finish") & (log["timestamp"] < now)].assign(
    genre=lambda rows: rows["item_id"].str[:-3]
)
taste = pd.crosstab(finished["user_id"], finished["genre"]) + 1.0  # one film of each before we know anything
taste = taste.div(taste.sum(axis=1), axis=0) - 0.25
interests = om.Interactions.from_frame(
    taste.rename_axis(columns=None).reset_index().melt("user_id", var_name="item_id", value_name="weight")
)
lot = om.Dataset(messages=om.MessageLog.from_frame(shown), creatives=art, attributes=interests)
learn, judge = lot.split("2025-03-24")
models, rows = {}, []
for device in devices:  # a device on which something is shown is a channel
    models[device] = om.choices.Creatives(channel=device).fit(learn)
    seen = learn.messages.to_frame().query("channel == @device")
    winner = seen["responded_at"].notna().groupby(seen["creative_id"].str.split("-").str[2]).mean().idxmax()
    judged_on = judge.messages.to_frame().query("channel == @device")
    same, sent_later = (
        judged_on["creative_id"].str.endswith(winner).to_numpy(float),
        om.MessageLog.from_frame(judged_on),
    )
    policies = {"by person": models[device].propensity(sent_later), f"{winner} for all": same}
    found = om.causal.off_policy(sent_later, policies, estimators=["snips"], against=f"{winner} for all").to_frame()
    rows.append(found.assign(device=device))
columns = [
    "device",
    "policy",
    "value",
    "lift",
    "lift_low",
    "lift_high",
    "difference",
    "difference_low",
    "difference_high",
]
worth = pd.concat(rows)[columns].reset_index(drop=True)
worth.round(3)

# %%
one = pd.DataFrame({"user_id": people["user_id"], "item_id": "comedy-07"})
fig, axes = plt.subplots(1, 2, figsize=(11, 3), sharey=True, layout="constrained")
for ax, device in zip(axes, devices, strict=True):
    picked = models[device].choose(one, at=now).to_frame()
    style = picked["creative_id"].str.split("-").str[2]
    most = taste.idxmax(axis=1).reindex(picked["user_id"]).fillna("nothing yet")
    share = pd.crosstab(most.to_numpy(), style.to_numpy(), normalize="index")
    share[styles].plot.bar(ax=ax, color=colors, rot=0, legend=device == "tv", width=0.8)
    ax.set(
        xlabel="genre finished most", title=f"One film, {device}: artwork chosen (SIMULATED)", ylabel="share of people"
    )
axes[1].set_ylim(0, 1.3)
axes[1].legend(frameon=False, ncols=3)
plt.show()

# %% [markdown]
# ## Likes and dislikes
#
# "Not finished" is not "disliked", and what was disliked must not come back. `targets` says what an event is worth
# (-1 is disliked), and a dislike determines its cell whatever was played before. Lists are judged by what people
# finished in the week after (NDCG@10). The first table is the difference to plays and finishes alone, person by person:
# no gain is shown there. The second is what people would complain about, and there the gain is clear.

# %%
events = {"play": 1, "watch": 0, "finish": 3}
weights = {
    "plays and finishes": om.Weights(events=events | {"like": 0, "dislike": 0}),
    "with likes": om.Weights(events=events | {"like": 3, "dislike": 0}),
    "with likes and dislikes": om.Weights(events=events | {"like": 3, "dislike": 3}, targets={"dislike": -1}),
}
fitted = {name: om.EASE(weights=weight).fit(past) for name, weight in weights.items()}
lists = {name: model.recommend(past.requests(), k=10) for name, model in fitted.items()}
report = om.evaluate(lists, later.events.select(events=["finish"]), k=10, metrics=[om.ndcg], n_bootstrap=500)
liked = report.differences("plays and finishes")
print(liked[["model", "difference", "low", "high"]].round(4).to_string(index=False))
hated = pd.DataFrame({"user_id": people["user_id"], "hated": genres[hates]})
rejected = log[(log["event"] == "dislike") & (log["timestamp"] < now)][["user_id", "item_id"]].drop_duplicates()
rows, shares = [], {}
for name, model in fitted.items():
    offered = lists[name].to_frame().merge(hated, on="user_id")
    share = offered["item_id"].str.split("-").str[0].eq(offered["hated"]).groupby(offered["user_id"]).mean()
    again = model.recommend(past.requests(), k=50, exclude_seen=False).to_frame().merge(rejected)
    shares[name] = share.to_numpy()
    rows.append((name, *over_people(shares[name]), len(again)))
columns = ["lists", "share of the genre they hate", "low", "high", "disliked films in top 50, seen ones allowed"]
pd.DataFrame(rows, columns=columns).round(3)

# %% [markdown]
# ## Begun and not finished: whom to remind
#
# Films left between 5 % and 95 %, with the position and the device. Earlier reminders were sent by lot to one in two
# of those who had not come back by the next day, so what a reminder adds can be measured: how many more finished the
# film within three days.

# %%
begun = om.journeys.unfinished(
    past, begun="play", finished=["finish", "dislike"], within="14D", position="watch", between=(0.05, 0.95),
    device="device",
)  # fmt: skip
ends = log[log["event"] == "finish"][["user_id", "item_id", "timestamp"]].sort_values("timestamp")
window = pd.Timedelta("3D")
judged = pd.merge_asof(
    lots[lots["sent_at"] < pd.Timestamp(now, tz="UTC") - window].sort_values("sent_at"),
    ends,
    left_on="sent_at",
    right_on="timestamp",
    by=["user_id", "item_id"],
    direction="forward",
    tolerance=window,
)

judged["rhythm"] = pd.cut(judged["visits"], [-1, 4, 14, 999], labels=["rare", "weekly", "daily"]).astype(str)
judged["finished"] = judged["timestamp"].notna().astype(int)
judged["arm"] = np.where(judged["reminded"], "reminder", "none")
experiment = om.causal.Experiment.from_frame(
    judged, treatment="arm", control="none", outcome="finished", features=["visits"], groups=["rhythm"],
    propensity={"reminder": 0.5, "none": 0.5}, user="user_id",
)  # fmt: skip
uplift = om.causal.Uplift().fit(experiment)
print(uplift.verdict)
uplift.group_effects("rhythm").to_frame().round(3)

# %% [markdown]
# `Returns` says who comes back without being told. Together: a reminder is worth its effect on this person times what a
# finished film is worth, less what it costs. Assumed here: 1.00 for a film finished, 0.12 for a
# reminder, which is mostly the patience of the person.

# %%
margin, cost = 1.0, 0.12
recent = log[(log["event"] == "watch") & (log["timestamp"] >= pd.Timestamp(now, tz="UTC") - pd.Timedelta("14D"))]
recent = recent[recent["timestamp"] < now].groupby("user_id").size()
begun["visits"] = begun["user_id"].map(recent).fillna(0)
returns = om.journeys.Returns(horizon="3D").fit(past)
found = om.journeys.nudges(begun, returns, past, within="3D", effect=uplift, margin=margin, cost=cost)
judged["net"] = margin * judged["finished"] - cost * judged["reminded"]
money = om.causal.Experiment.from_frame(
    judged, treatment="arm", control="none", outcome="net", propensity={"reminder": 0.5, "none": 0.5}, user="user_id"
)
policy = uplift.policy(costs={"reminder": cost / margin})  # out of fold: nobody's own outcome chooses for them
reminding = {
    against: om.causal.policy_value(money, {"by its value": policy}, against=against).to_frame().iloc[0]
    for against in ("none", "reminder")
}
for against, row in reminding.items():
    other = {"none": "nobody", "reminder": "everybody"}[against]
    print(f"per film, by value rather than {other}: {row.effect:+.3f} ({row.low:+.3f} to {row.high:+.3f})")
print(f"share reminded: {policy[:, 1].mean():.0%}")
fig, axes = plt.subplots(1, 2, figsize=(11, 3.4), layout="constrained")
plotting.return_calibration(returns, title="{} (SIMULATED)", ax=axes[0])
for yes, name in ((True, "remind"), (False, "leave alone")):
    rows = found[found["nudge"] == yes]
    color = colors[0] if yes else "#a9b4bd"
    axes[1].scatter(rows["returns"], rows["value"], s=14, color=color, label=f"{name}: {len(rows)}")
axes[1].axhline(0, color="#1d2a35", lw=0.8)
axes[1].set(xlabel="probability of coming back by themselves in 3 days", ylabel="value of a reminder")
axes[1].set_title("Films begun and not finished (SIMULATED)")
axes[1].legend(frameon=False)
plt.show()
found[["item_id", "position", "device", "visits", "returns", "value", "nudge"]].iloc[[0, 1, -2, -1]].round(2)

# %% [markdown]
# ## Watch here, resume there
#
# One film in ten is begun on one device and finished on the other, about a day later. So "begun" must not belong to a
# device: the next visit, wherever it is, begins with what was left.

# %%
report = om.evaluation.channel_report(past, completes="finish", starts=["play", "watch"], window="7D")
plotting.channel_journeys(report, title="{} (SIMULATED)")
plt.show()
report.crossings.round(2)

# %% [markdown]
# The same for one person, live: `Live` folds each event as it comes. With `Rules(position="watch")`, `resume` says
# where to go on; what is disliked is at once neither resumed nor offered.

# %%
live = Live(fitted["with likes and dislikes"], rules=Rules(begun="play", finished="finish", position="watch"))
someone, day = 99_001, "2025-04-21T"
steps = [
    ("phone", "play", "crime-10", None, "17:40"), ("phone", "watch", "crime-10", 0.35, "18:05"),
    ("tv", "watch", "crime-10", 0.8, "20:50"), ("tv", "play", "romance-01", None, "20:55"),
    ("tv", "dislike", "romance-01", None, "21:00"), ("phone", "finish", "crime-10", None, "22:10"),
]  # fmt: skip
rows = []
for device, event, film, value, at in steps:
    live.observe({"user_id": someone, "event": event, "channel": device, "item_id": film, "value": value,
                  "timestamp": f"{day}{at}:00Z"})  # fmt: skip
    asked = f"{day}{at}:30Z"
    left = live.resume(someone, at=asked)
    top = live.recommend(someone, 2, at=asked).items
    places = [one.item_id if one.position is None else f"{one.item_id} at {one.position:.0%}" for one in left]
    rows.append((at, f"{event} {film} on {device}", ", ".join(places), ", ".join(top)))
pd.DataFrame(rows, columns=["time", "what they do", "resume, on any device", "then offered"])

# %% [markdown]
# ## One plan
#
# Reminders that are worth it, each on the device and at the local hour that suits the person, outside quiet hours, with
# the artwork of that screen and the position to go on from; one in three days at most.

# %%
wanted = found[found["nudge"]].assign(rank=lambda rows: rows.groupby("user_id").cumcount() + 1)
recs = om.Recommendations.from_frame(wanted[["user_id", "item_id", "rank"]])
touches = om.candidates(
    recs,
    past,
    timing,
    om.slots(now, days=3, every="1h"),
    channels=["phone", "tv"],
    eligibility=[om.QuietHours("22:00", "07:00"), om.planning.NotDisliked(past.events, events="dislike")],
    value=om.planning.TouchValue(margin=margin, channel_cost=cost),
    creatives={device: models[device].choose(wanted[["user_id", "item_id"]], at=now) for device in devices},
)
touches = touches.with_columns(wanted[["user_id", "item_id", "position", "device"]])
plan = om.plan(touches, constraints=[om.FrequencyCap(1, per="3D")])
print(plan)
week = plan.to_frame()
person, code = week["user_id"].to_numpy() - 1001, (week["channel"] == "tv").to_numpy().astype(int)
planned = attention(person, code, week["send_at_local"].dt.hour.to_numpy())
by_lot = np.mean(
    [attention(person, rng.integers(0, 2, len(week)), rng.uniform(8, 21, len(week))) for _ in range(50)], 0
)
print(f"true attention: {by_lot.mean():.2f} at random hours and devices, {planned.mean():.2f} in the plan")
fig, axes = plt.subplots(1, 2, figsize=(11, 3.2), layout="constrained")
hour = pd.crosstab(week["send_at_local"].dt.hour, week["channel"]).reindex(range(24), fill_value=0)
hour.plot.bar(ax=axes[0], color=colors, width=0.9, rot=0, stacked=True)
axes[0].set_xticks(range(0, 24, 3))
axes[0].set(xlabel="local hour", ylabel="reminders", title="The plan by local hour (SIMULATED)")
axes[0].legend(frameon=False)
possible = touches.to_frame().groupby("user_id")[["item_id", "channel"]].nunique().sum(axis=1)
plotting.person_week(plan, possible.idxmax(), title="{} (SIMULATED)", ax=axes[1])
plt.show()
columns = ["item_id", "position", "device", "channel", "send_at_local", "creative_id", "probability"]
week[columns].head(4).round({"position": 2, "probability": 2})

# %% [markdown]
# The value of this plan is one of chances: it counts answers. Whether a reminder adds anything was decided before, by
# the experiment. That was sent at random hours; at the person's own hour a reminder should add more, and the next
# experiment should measure how much.

# %% [markdown]
# ## What the manager decides


# %%
of = worth.set_index(["device", "policy"])[["difference", "difference_low", "difference_high"]]
at_eight = hours[hours["against"] == "20:00 local for all"].set_index("device")[["gain", "low", "high"]]
hated_less = over_people(shares["with likes and dislikes"] - shares["plays and finishes"])
decisions = {
    "Phone: write at each person's own hour, not at 20:00 local": (
        at_eight.loc["phone"], "attention per message", "people who all use the phone at one hour"),
    "Television: write in the local evening; the own hour adds little": (
        at_eight.loc["tv"], "attention per message", "many who watch at night or in the morning"),
    "Phone: artwork by taste, not one face for all": (
        of.loc[("phone", "by person")], "answers per showing", "images that work alike for all"),
    "Television: artwork by taste, not one scene for all": (
        of.loc[("tv", "by person")], "answers per showing", "images that work alike for all"),
    "Use likes and dislikes": (
        hated_less, "share of the list in a genre they hate", "hardly anybody clicking them"),
    "Remind by value, rather than nobody": (
        reminding["none"][["effect", "low", "high"]], "per film begun, less costs", "a cost above 0.2"),
    f"Remind by value, rather than everybody: {policy[:, 1].mean():.0%} of the messages": (
        reminding["reminder"][["effect", "low", "high"]], "per film begun, less costs", "a cost below 0.08"),
}  # fmt: skip
rows = []
for decision, (found_worth, unit, change) in decisions.items():
    middle, low, high = found_worth
    rows.append((decision, unit, f"{middle:+.3f}", f"{low:+.3f} to {high:+.3f}", change))
pd.DataFrame(rows, columns=["decision", "worth in", "worth", "95 % interval", "what would change it"])
