"""Does an installed omnireco import and work at all? For Pythons that do not run every test."""

import sys

import omnireco as om

world = om.simulate(n_users=80, n_items=30, days=60, seed=1)
log, people = om.EventLog.from_frame(world.events), om.Audience.from_frame(world.users)
train, test = log.split("2025-02-20")
x = train.matrix(om.Weights(events={"view": 1, "purchase": 8}, half_life="30D"))
lists = {type(how).__name__: how.fit(x).recommend(x, k=5) for how in (om.Popularity(), om.EASE(), om.ALS(factors=8))}
assert (om.evaluate(lists, test, k=5, metrics=[om.ndcg]).to_frame()["mean"] > 0).all()
offers = lists["ALS"].to_frame().assign(channel="email", send_at=train.end, value=1.0)
planned = om.plan(
    om.planning.Candidates.from_frame(offers, om.Dataset(audience=people)), constraints=[om.FrequencyCap(1, per="7D")]
)
assert 0 < len(planned) <= people.n_users
print(f"omnireco {om.__version__} works on Python {sys.version.split()[0]}: {planned}")
