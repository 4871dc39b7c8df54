# %% [markdown]
# # Streaming: watch here, resume there
#
# A streaming service with two devices, phone and television, in four time zones. It wants to send reminders at the
# hour of each person's own clock, show the artwork that suits the person *and* the screen, take likes and dislikes
# seriously, and bring people back to the film they did not finish, on whatever device.
#
# **All data on this page is SIMULATED**, drawn in the first cell, so that every answer can be compared with the truth.
# Only the public surface is used.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import omnireco as om
from omnireco import plotting

rng = np.random.default_rng(20)
n, start = 600, pd.Timestamp("2025-02-03")
genres, devices = np.array(["crime", "romance", "comedy", "nature"]), np.array(["phone", "tv"])
films = pd.DataFrame({"item_id": [f"{g}-{i:02d}" for g in genres for i in range(15)], "category": genres.repeat(15)})
people = pd.DataFrame(
    {
        "user_id": np.arange(1001, 1001 + n),
        "timezone": rng.choice(["Europe/Berlin", "America/New_York", "America/Sao_Paulo", "Asia/Tokyo"], n),
        "consent_phone": rng.random(n) < 0.8,
        "consent_tv": rng.random(n) < 0.8,
    }
)
loves, hates = np.array([rng.choice(4, 2, replace=False) for _ in range(n)]).T  # a genre each
per_day = rng.choice([0.07, 0.25, 0.8], n)  # visits: some come monthly, some nearly every day
peak = np.column_stack([rng.choice([7.5, 12.5, 17.5], n), rng.normal(20.5, 1.2, n)])  # local hour on phone, on tv
share_tv = rng.beta(2, 2, n)
wanted = np.full((n, 4), 0.2)
wanted[np.arange(n), loves], wanted[np.arange(n), hates] = 0.5, 0.1


def attention(person, device, hour):
    """The truth: how readily a reminder at this local hour is answered, 0 to 1."""
    away = np.abs((hour - peak[person, device] + 12) % 24 - 12)
    return 0.1 + 0.9 * np.exp(-((away / 1.8) ** 2) / 2)


def visits_of(person):
    """Draw one person's visits, films and reminders: an unfinished film is reminded of by lot, half of the time."""
    days = np.sort(rng.uniform(0, 84, rng.poisson(per_day[person] * 84))).astype(int)
    device = (rng.random(days.size) < share_tv[person]).astype(int)
    visits = sorted(zip(24.0 * days + rng.normal(peak[person, device], 1.0), device, strict=True))
    events, sent, film, reached = [], [], None, 0.0
    for number, (hour, on) in enumerate(visits):
        if film is None or rng.random() < 0.5:  # something new; else they go on with the film they left
            film, reached = 15 * rng.choice(4, p=wanted[person]) + rng.integers(15), 0.0
            events.append((hour, on, film, "play", np.nan))
        genre = film // 15
        reached += (1 - reached) * (1.0 if rng.random() < 0.5 - 0.3 * (genre == hates[person]) else rng.uniform(0.1, 0.8))
        events.append((hour + 0.5, on, film, "watch", reached))
        if reached < 1:
            if genre == hates[person] and rng.random() < 0.5:
                events.append((hour + 0.6, on, film, "dislike", np.nan))
            by, at = rng.integers(2), 24 * (hour // 24 + 1) + rng.uniform(8, 21)
            reminded = rng.random() < 0.5 and (number + 1 == len(visits) or visits[number + 1][0] > at + 1)
            opened = reminded and rng.random() < 0.5 * attention(person, by, at % 24)
            if reminded:
                sent.append((at, by, film, at + 0.2 if opened else np.nan))
            if not opened:
                continue
            hour, on = at + 0.2, by
            events.append((hour, on, film, "watch", 1.0))
        events.append((hour + 0.9, on, film, "finish", np.nan))
        if rng.random() < (0.6 if genre == loves[person] else 0.1):
            events.append((hour + 0.95, on, film, "like", np.nan))
        film = None
    return events, sent


def instants(hours, person):
    """Hours since the start on each person's own clock, as instants."""
    local = pd.Series(start + pd.to_timedelta(np.round(np.asarray(hours, float) * 3600), unit="s"))
    zones = people["timezone"].to_numpy()[person]
    parts = [rows.dt.tz_localize(zone, ambiguous=True, nonexistent="shift_forward").dt.tz_convert("UTC")
             for zone, rows in local.groupby(zones)]  # fmt: skip
    return pd.concat(parts).sort_index().to_numpy()


drawn = [visits_of(person) for person in range(n)]
who = np.repeat(np.arange(n), [len(events) for events, _ in drawn])
hour, on, film, event, value = zip(*[row for events, _ in drawn for row in events], strict=True)
log = pd.DataFrame(
    {
        "user_id": people["user_id"].to_numpy()[who],
        "item_id": films["item_id"].to_numpy()[list(film)],
        "channel": devices[list(on)],
        "event": event,
        "value": value,
        "timestamp": pd.to_datetime(instants(hour, who), utc=True),
    }
)
whom = np.repeat(np.arange(n), [len(sent) for _, sent in drawn])
hour, on, film, answered = zip(*[row for _, sent in drawn for row in sent], strict=True)
reminders = pd.DataFrame(
    {
        "user_id": people["user_id"].to_numpy()[whom],
        "item_id": films["item_id"].to_numpy()[list(film)],
        "channel": devices[list(on)],
        "sent_at": pd.to_datetime(instants(hour, whom), utc=True),
        "responded_at": pd.to_datetime(instants(answered, whom), utc=True),
    }
)
data = om.Dataset(
    om.EventLog.from_frame(log),
    messages=om.MessageLog.from_frame(reminders),
    audience=om.Audience.from_frame(people),
    catalog=om.Catalog.from_frame(films),
)
data
