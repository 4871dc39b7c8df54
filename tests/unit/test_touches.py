"""Touches: masks by channel, parts, and what cannot be written to."""

import numpy as np
import pytest

import omnireco as om
from omnireco.data.asking.touches import Past, Touches
from omnireco.data.messages import NEVER
from omnireco.errors import ParameterError

HOUR = 3_600_000_000


def three():
    """Three touches of two people on push, email, push; one earlier email, and one on a channel nobody names."""
    known = om.data.Vocabulary
    return Touches(
        users=known(np.array(["ann", "bob"], object)),
        items=known(np.array(["tea"], object)),
        channels=known(np.array(["email", "push"], object)),
        user=np.array([0, 0, 1], np.int32),
        item=np.zeros(3, np.int32),
        channel=np.array([1, 0, 1], np.int32),
        send_at=np.array([8, 9, 10]) * HOUR,
        local_at=np.array([9 * HOUR, 10 * HOUR, NEVER]),
        consent=np.array([True, True, False]),
        reachable=np.ones(3, bool),
        past=Past(np.array([0, 1], np.int32), np.array([0, -1], np.int32), np.array([1, 2]) * HOUR),
        named=("email", "push", "sms"),
    )


def test_masks_by_channel():
    touches = three()
    assert touches.on(["push"]).tolist() == [True, False, True]
    assert touches.on(["sms"]).tolist() == [False] * 3  # a channel that the audience names, and no touch uses
    assert touches.on(None).all()
    assert touches.past_on(["email"]).tolist() == [True, False]
    assert touches.past_on(["email", "push", "sms"]).tolist() == [True, False]  # -1 is no channel
    assert touches.past_on(None).all()


def test_a_channel_nobody_names_would_switch_a_rule_off():
    with pytest.raises(ParameterError, match=r"'fax' is a name that nothing here has\. Known: 'email', 'push', 'sms'"):
        three().on(["fax"], "QuietHours: channels")
    assert not three().on(["fax"], missing="ignore").any()


def test_names_are_those_of_the_touches_by_default():
    some = three()
    arrays = (some.user, some.item, some.channel, some.send_at, some.local_at, some.consent, some.reachable)
    assert Touches(some.users, some.items, some.channels, *arrays, some.past).named == ("email", "push")


def test_parts_keep_what_they_stand_beside():
    part = three().take(np.array([2, 0]))
    assert part.user.tolist() == [1, 0]
    assert part.send_at.tolist() == [10 * HOUR, 8 * HOUR]
    assert part.zone_known.tolist() == [False, True]
    assert (len(part), len(part.past.user), part.named) == (2, 2, ("email", "push", "sms"))


def test_arrays_are_read_only_and_reprs_show_sizes():
    touches = three()
    with pytest.raises(ValueError, match="read-only"):
        touches.send_at[0] = 0
    with pytest.raises(ValueError, match="read-only"):
        touches.past.sent_at[0] = 0
    assert repr(touches) == "Touches(3 touches, 2 users, 2 channels)"
