"""What joining ids did to a log, counted by hand."""

import pandas as pd
import pytest

import omnireco as om
from omnireco.data.resolving import ResolveReport, require_identities
from omnireco.errors import ParameterError

LINKS = pd.DataFrame({"id_a": ["c1", "c2"], "kind_a": "cookie", "id_b": ["k1", "k1"], "kind_b": "card"})
WHO = om.identity.Identities.from_links(LINKS, trusted=["card"])


def log_of(users, channels):
    at = pd.date_range("2025-05-01", periods=len(users), tz="UTC")
    frame = pd.DataFrame({"user_id": users, "channel": channels, "timestamp": at})
    return om.EventLog.from_frame(frame.assign(item_id="tea", event="view"))


def test_five_events_of_four_ids_are_two_people():
    log = log_of(["c1", "c2", "k1", "c9", "c9"], ["web", "web", "store", "web", "store"])
    found = log.resolve(WHO)
    assert found.users.decode(found.user).tolist() == ["k1", "k1", "k1", "c9", "c9"]
    assert found.resolution == ResolveReport(
        events=5,
        ids=4,
        known_ids=3,  # nobody links c9
        people=2,
        joined_people=1,
        cross_channel_before=1,  # c9 was on both channels by itself
        cross_channel_after=2,
    )
    assert found.resolution.to_frame().to_dict("records")[0]["people"] == 2


def test_an_empty_log_has_nobody_to_join():
    found = log_of(["c1"], ["web"]).select(events=[]).resolve(WHO)
    assert found.resolution == ResolveReport(0, 0, 0, 0, 0, 0, 0)


@pytest.mark.parametrize("given", [LINKS, None, om.identity.Identities])
def test_only_identities_resolve(given):
    with pytest.raises(ParameterError, match=r"resolve takes an Identities\. Got .*Identities\.from_links"):
        require_identities(given)
