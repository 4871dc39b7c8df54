"""What readers make of people and of values: consent by time, ids of nobody, times, amounts, messages, machines."""

import datetime as dt
import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import omnireco as om
from omnireco import adapters
from omnireco.adapters.people import plain_words, withdrawn_channel
from omnireco.adapters.values import as_id, as_number, as_person, instants, time_fault
from omnireco.data.frames.answers import as_consent
from omnireco.data.frames.placeholders import is_placeholder, placeholders

MAY = "2025-05-{:02d}T08:00:00Z"
NO = [False, "false", 0, "0", 0.0, "No", "off", "unsubscribed", "Opted_Out", "opt-out", "not subscribed", "withdrawn"]
NO += [None, float("nan"), pd.NA, pd.NaT, "", " ", np.False_, "perhaps", 2, -1, [True], {"status": "yes"}]
YES = [True, "true", "Yes", 1, 1.0, "1", "subscribed", "GRANTED", "opted-in", np.True_, np.int64(1), "on"]


def track(event, at, **properties):
    return {"type": "track", "event": event, "userId": "ann", "timestamp": at, "properties": properties}


def told(day, **traits):
    at = MAY.format(day) if isinstance(day, int) else day
    return {"type": "identify", "userId": "ann", "timestamp": at, "traits": traits}


def consents(calls, channel="email"):
    """May ann be written to? The same for every order of the calls."""
    found = set()
    for some in itertools.permutations(calls):
        audience = om.Audience.from_frame(adapters.segment(list(some)).users)
        found.add(bool(audience.consent[0, audience.channels.ids.tolist().index(channel)]))
    assert len(found) == 1
    return found.pop()


# ---- consent and zones by time -------------------------------------------------------------------------------


@pytest.mark.parametrize("no", NO, ids=repr)
def test_a_withdrawal_in_any_dress_stands_until_a_later_yes(no):
    yes, withdrawn = told(1, consent_email=True), told(2, consent_email=no)
    assert not consents([yes, withdrawn])
    assert not consents([yes, told(1, consent_email=no)])  # of one instant
    assert consents([yes, withdrawn, told(3, consent_email=True)])


@pytest.mark.parametrize("yes", YES, ids=repr)
def test_a_yes_is_one_of_the_stated_spellings(yes):
    assert consents([told(1, consent_email=yes)])


def test_what_cannot_be_read_of_a_consent_is_a_no_and_counted():
    assert not consents([told(1, consent_email=True), told(None, consent_email=False)])
    assert not consents([told("soon", consent_email=True)])
    assert consents([told("soon", consent_email=True), told(2, consent_email=True)])
    calls = [
        told(1, consent_email=True),
        told(2, consent_email="perhaps"),
        told(None, consent_email=True),
        told(3, consent_email=None),
        told(None, consent_sms=False),
    ]
    read = adapters.segment(calls)
    assert read.unused.set_index("why")["records"].to_dict() == {
        "unreadable consent, taken for none": 1,
        "a refusal without a time always counts": 1,
        "consent without a time does not count": 1,
        "empty consent, taken for none": 1,
    }
    assert repr(read).endswith("0 records not used, 4 not read in full)")
    assert read.counts["records"].sum() == read.n_records


@pytest.mark.parametrize(
    "event",
    [
        "Unsubscribed",
        "Email Unsubscribed",
        "email_unsubscribed",
        "emailUnsubscribed",
        "Unsubscribe",
        "Spam Complaint",
        "Email Marked as Spam",
        "Newsletter Unsubscribed",
        "Opted Out",
        "Group Unsubscribe",
        "Spam Reported",
    ],
)
def test_an_unsubscription_withdraws_consent_from_its_instant_on(event):
    yes = told(1, consent_email=True)
    assert not consents([yes, track(event, MAY.format(2))])
    assert not consents([yes, track(event, MAY.format(1))])
    assert not consents([yes, track(event, None)])
    assert consents([yes, track(event, MAY.format(2)), told(3, consent_email=True)])
    mapped = adapters.segment([yes, track(event, MAY.format(2))], events={event: "unsubscribe"})
    assert mapped.users["consent_email"].tolist() == [False]
    alone = adapters.segment([track(event, MAY.format(2))])
    assert alone.unused.empty
    assert not om.Audience.from_frame(alone.users).consent.any()


def test_an_unsubscription_is_of_one_channel_and_of_all_its_purposes():
    yes = told(1, consent_email=True, consent_email_news=True, consent_sms=True, consent_push=True)
    assert consents([yes, track("SMS Unsubscribed", MAY.format(2))])
    assert not consents([yes, track("SMS Unsubscribed", MAY.format(2))], "sms")
    assert not consents([yes, track("Unsubscribed", MAY.format(2), channel="push")], "push")
    assert not consents([yes, track("Unsubscribed", MAY.format(2))], "email_news")
    assert consents([yes, track("Unsubscribed", MAY.format(2))], "push")
    assert not consents([yes, track("Opted Out", MAY.format(2))], "push")  # which is not said, so all of them
    assert withdrawn_channel("Product Viewed") is None
    assert withdrawn_channel("Unsubscribe Page Viewed") is None
    assert withdrawn_channel("whatsapp_unsubscribed", "web") == "whatsapp"
    assert plain_words(" emailUnsubscribed_now") == "email unsubscribed now"


def test_a_mail_that_came_back_makes_unreachable_until_one_arrives():
    yes, bounce = told(1, consent_email=True), track("Email Bounced", MAY.format(2))
    others = told(1, consent_email=True) | {"userId": "bob"}
    audience = om.Audience.from_frame(adapters.segment([yes, others, bounce]).users)
    assert audience.reachable.ravel().tolist() == [False, True]
    again = adapters.segment([yes, track("Email Delivered", MAY.format(3)), bounce])
    assert again.users["reachable_email"].tolist() == [True]
    soft = adapters.segment([yes, track("Email Bounced", MAY.format(2), bounce_type="Soft")])
    assert "reachable_email" not in soft.users
    assert soft.unused["why"].tolist() == ["was never delivered"]
    assert not om.Audience.from_frame(adapters.segment([bounce]).users).reachable.any()


def test_shopify_consents_by_the_instant_they_were_given():
    def order(number, state, at):
        consent = {"state": state, "consent_updated_at": at}
        return {"id": number, "created_at": MAY.format(9), "customer": {"id": 7, "email_marketing_consent": consent}}

    orders = [order(1, "subscribed", MAY.format(1)), order(2, "unsubscribed", MAY.format(2))]
    for some in (orders, orders[::-1]):
        assert adapters.shopify(some).users["consent_email"].tolist() == [False]
    null = [*orders[:1], {"id": 3, "created_at": MAY.format(9), "customer": {"id": 7, "email_marketing_consent": None}}]
    assert adapters.shopify(null).users["consent_email"].tolist() == [False]
    assert adapters.shopify(orders[:1]).users["consent_email"].tolist() == [True]
    cancelled = [orders[0], orders[1] | {"cancelled_at": MAY.format(3)}]
    assert adapters.shopify(cancelled).users["consent_email"].tolist() == [False]


@pytest.mark.parametrize(
    ("zone", "found"),
    [
        ("Asia/Tokyo", "Asia/Tokyo"),
        (" Asia/Tokyo ", "Asia/Tokyo"),
        (None, "Europe/Berlin"),
        ("", "Europe/Berlin"),
        (float("nan"), "Europe/Berlin"),
        ("Etc/Unknown", "Europe/Berlin"),
        ("GMT+9", None),
        ("Etc/GMT-9", None),
    ],
)
def test_the_newest_zone_wins_and_a_missing_one_says_nothing(zone, found):
    calls = [told(1, timezone="Europe/Berlin"), told(2, timezone=zone)]
    for some in (calls, calls[::-1]):
        users = adapters.segment(some).users
        assert [None if name != name else name for name in users["timezone"]] == [found]
        om.Audience.from_frame(users)
    twice = adapters.segment([told(1, timezone="Europe/Berlin"), told(1, timezone="Asia/Tokyo")])
    assert twice.users["timezone"].isna().all()


def test_one_zone_that_is_none_leaves_the_others_theirs():
    zones = ["Europe/Berlin", "Etc/Unknown", "Etc/GMT-3", "", "Europe/Berlin "]
    calls = [told(1, timezone=zone) | {"userId": f"u{n}"} for n, zone in enumerate(zones)]
    read = adapters.segment(calls)
    audience = om.Audience.from_frame(read.users)
    assert (audience.zone >= 0).tolist() == [True, False, False, False, True]
    assert read.unused[["why", "records"]].values.tolist() == [["a time zone that cannot be read is missing", 2]]


# ---- ids of nobody ---------------------------------------------------------------------------------------------

NOBODY = ["null", "NULL", " undefined ", "0", "000", "(not set)", "", "-", "N/A", "#N/A", "\\N", "<NA>", "NaT", "-1"]
NOBODY += ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff", "[object Object]", '"null"']
NOBODY += ["{{user.id}}", "null-undefined", "test@test.com", "9774d56d682e549c", "d41d8cd98f00b204e9800998ecf8427e"]
SOMEBODY = ["ann", "1", "10", "-2", "Nathan", "Nat", "0a", "user_0", "ffff", "日本", "ann@test.com", "guest1", "0-1"]


def test_ids_that_stand_for_nobody():
    assert [text for text in NOBODY if not is_placeholder(text)] == []
    assert [text for text in SOMEBODY if is_placeholder(text)] == []
    assert is_placeholder("0" * 100)
    assert not is_placeholder("x" * 100)
    assert placeholders(np.array([-1, 0, 7])).tolist() == [True, False, False]
    assert as_person("null", None, "u7") == "u7"
    assert adapters.hashed_email("test@example.com") is None


@pytest.mark.parametrize("nobody", ["null", "Undefined", "0", 0, "(not set)", "", None, pd.NA, NOBODY[14]], ids=repr)
def test_strangers_stay_strangers_in_every_reader(nobody):
    at, micro = MAY.format(1), 1_746_086_400_000_000
    envelope = {"source": "s", "type": "omnireco.event.v1", "time": at}
    order = {"line_items": [{"product_id": 1, "price": 1, "total": 1}], "created_at": at, "date_created_gmt": at}
    reads = []
    for read, row in [
        (adapters.segment, lambda k: {"type": "page", "userId": nobody, "anonymousId": k, "timestamp": at}),
        (adapters.segment, lambda k: {"type": "page", "userId": k, "anonymousId": nobody, "timestamp": at}),
        (adapters.segment, lambda k: {"type": "alias", "userId": k, "previousId": nobody, "timestamp": at}),
        (adapters.ga4, lambda k: {"event_name": "page_view", "event_timestamp": micro, "user_id": nobody,
                                  "user_pseudo_id": k}),
        (adapters.snowplow, lambda k: {"event": "page_view", "derived_tstamp": at, "user_id": nobody,
                                       "domain_userid": k, "network_userid": nobody}),
        (adapters.cloudevents, lambda k: envelope | {"id": k, "subject": k, "data": {"event": "view",
                                                                                     "user_id": nobody}}),
        (adapters.shopify, lambda k: order | {"id": k, "customer": {"id": nobody}, "email": f"{k}@x.org"}),
        (adapters.woocommerce, lambda k: order | {"id": k, "customer_id": nobody, "billing": {"email": f"{k}@x.org"}}),
    ]:  # fmt: skip
        reads.append(read([row(f"k{n}") for n in range(4)]))
    assert [len(read.links) for read in reads] == [0] * len(reads)
    assert {read.events["user_id"].nunique() for read in reads if len(read.events)} == {4}
    alone = adapters.segment([{"type": "page", "userId": nobody, "timestamp": at}])
    assert alone.unused["why"].tolist() == ["no user id"]


def test_ids_in_every_dress():
    assert [as_id(value) for value in (36, 36.0, " 36 ", np.int64(36), np.float32(36))] == ["36"] * 5
    missing = [None, float("nan"), pd.NaT, pd.NA, "", " ", True, [1], {}, np.array([1]), b"x", float("inf"), 2.0**60]
    assert [as_id(value) for value in missing] == [None] * len(missing)


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NaT, pd.NA, "", " "], ids=repr)
def test_the_filled_of_two_spellings_wins(missing):
    call = {"type": "track", "event": "Product Viewed", "userId": missing, "user_id": "u7", "timestamp": missing,
            "originalTimestamp": MAY.format(1), "messageId": missing, "message_id": "m",
            "properties": {"product_id": missing, "sku": "s", "price": missing}}  # fmt: skip
    events = adapters.segment([call]).events
    assert events[["user_id", "item_id", "event_id"]].values.tolist() == [["u7", "s", "m"]]


# ---- times and amounts -----------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(st.datetimes(dt.datetime(1990, 1, 2), dt.datetime(2099, 12, 30)), st.sampled_from([1, 10**3, 10**6, 10**9]))
def test_a_count_is_read_in_the_one_unit_that_fits(at, unit):
    at = pd.Timestamp(at.replace(microsecond=0), tz="UTC")
    count = int(at.timestamp()) * unit
    for value in (count, float(count), str(count), np.int64(count)):
        assert instants([value])[0] == at


@pytest.mark.parametrize(
    "value",
    [
        0,
        -1,
        12345,
        "0",
        "2025",
        "20250501",
        "1970-01-01T00:00:00Z",
        "0001-01-01T00:00:00Z",
        10**30,
        float("inf"),
        631151999,
        4102444800,
        pd.Timestamp(0, tz="UTC"),
    ],
    ids=repr,
)
def test_no_time_comes_out_of_1970(value):
    assert instants([value]).isna().all()
    assert time_fault(value) == "no time between 1990 and 2100"
    read = adapters.segment([track("Product Viewed", value)])
    assert read.events.empty
    assert read.unused["why"].tolist() == ["no time between 1990 and 2100"]
    assert adapters.ga4([{"event_name": "page_view", "user_id": "u", "event_timestamp": value}]).events.empty


def test_zoned_texts_are_read_and_others_are_not():
    same = ["2025-05-01T08:00:00z", "2025-05-01 08:00 UTC", "2025-05-01 08:00:00 +0000", "2025-05-01 10:00:00+02"]
    assert set(instants(same)) == {pd.Timestamp("2025-05-01 08:00", tz="UTC")}
    for value in ("2025-05-01T08:00:00", "yesterday", True, dt.date(2025, 5, 1), [1], "1.7E12"):
        assert instants([value]).isna().all()
        assert time_fault(value) == "no time with a zone"
    naive = [np.datetime64("2025-05-01T08:00"), dt.datetime(2025, 5, 1, 8), "2025-05-01 08:00"]
    assert set(instants(naive, naive=True)) == {pd.Timestamp("2025-05-01 08:00", tz="UTC")}
    assert instants(naive).isna().all()
    assert time_fault(None) == "no time"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("12,50", 12.5),
        ("1.234,50", 1234.5),
        ("1,234.50", 1234.5),
        ("EUR 3.00", 3),
        ("€3", 3),
        ("3,00 €", 3),
        ("1 234,50", 1234.5),
        ("1\u202f234,50", 1234.5),
        ("1'234.50", 1234.5),
        ("CHF 1’234.50", 1234.5),
        ("1.234.567", 1234567),
        ("1,234,567.8", 1234567.8),
        ("-€3.00", -3),
        ("€-3,00", -3),
        ("0,999", 0.999),
        ("4.500", 4.5),
        ("1e3", 1000),
        ("99,-", 99),
        ("R$ 3,00", 3),
        ("1234,567", 1234.567),
        ("−3,5", -3.5),
        ("1,234", None),
        ("€ 1.234", None),
        ("free", None),
        ("12 50", None),
        ("1.2.3", None),
        ("5 kg", None),
        ("1_000", None),
        ("inf", None),
        ("1,2,3", None),
        (True, None),
        ([1], None),
        (10**400, None),
    ],
)
def test_amounts_are_read_by_one_rule_or_not_at_all(text, number):
    found = as_number(text)
    assert np.isnan(found) if number is None else found == number


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**8), st.integers(0, 99))
def test_every_way_to_write_an_amount_is_the_same_amount(whole, cents):
    english = f"{whole:,}.{cents:02d}"
    german = english.translate(str.maketrans(",.", ".,"))
    for text in (english, german, german.replace(".", " "), english.replace(",", "'"), f"EUR {german}", f"{german} €"):
        assert as_number(text) == float(f"{whole}.{cents:02d}")


@pytest.mark.parametrize("price", ["free", "1,234", "1.2.3"])
def test_a_price_that_cannot_be_read_is_missing_and_counted(price):
    at, line = MAY.format(1), {"product_id": 1, "item_id": 1, "price": price, "total": price}
    envelope = {"id": 1, "source": "s", "type": "omnireco.event.v1", "time": at, "subject": "u"}
    for read in (
        adapters.segment([track("Order Completed", at, products=[line])]),
        adapters.segment([track("Order Completed", at, products=[{"product_id": 1, "price": 3, "quantity": price}])]),
        adapters.ga4([{"event_name": "purchase", "event_timestamp": at, "user_id": "u", "items": [line]}]),
        adapters.cloudevents([envelope | {"data": {"event": "purchase", "item_id": 1, "value": price}}]),
    ):
        assert read.events["value"].isna().tolist() == [True]
        assert read.unused["why"].tolist() == ["a price or quantity that cannot be read is missing"]
    for read in (  # what is left of an order after refunds is a sum, so all of its lines must be read
        adapters.shopify([{"id": 1, "created_at": at, "customer": {"id": 7}, "line_items": [line]}]),
        adapters.woocommerce([{"id": 1, "date_created_gmt": at, "customer_id": 7, "line_items": [line]}]),
    ):
        assert read.events.empty
        assert read.unused["became"].tolist() == ["invalid"]


def test_consent_words():
    assert [as_consent(value) for value in YES] == [True] * len(YES)
    assert not any(as_consent(value) for value in NO)


# ---- messages and machines -------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [{}, {"campaign_id": "w"}, {"email_id": "e"}, {"campaign": {"name": "x"}}], ids=repr)
def test_two_deliveries_are_two_messages_and_answers_belong_to_the_newest_before(more):
    def mail(event, day, hour=9):
        return track(event, f"2025-05-{day:02d}T{hour:02d}:00:00Z", **more)

    calls = [
        mail("Email Sent", 1, 8),
        mail("Email Delivered", 1),
        mail("Email Opened", 2),
        mail("Email Sent", 8, 8),
        mail("Email Delivered", 8),
        mail("Email Link Clicked", 8, 10),
        mail("Unsubscribed", 9),
    ]
    for some in (calls, calls[::-1], calls[3:] + calls[:3], calls * 2):
        sent = adapters.segment(some).messages
        assert sent["sent_at"].dt.day.tolist() == [1, 8]
        assert sent["sent_at"].dt.hour.tolist() == [8, 8]  # what was sent and then delivered is one message
        assert sent["responded_at"].dt.day.tolist() == [2, 8]
        assert sent["clicked_at"].notna().tolist() == sent["unsubscribed_at"].notna().tolist() == [False, True]
    late = adapters.segment([calls[0], calls[4]]).messages
    assert len(late) == 2  # nothing is a week on its way


PEOPLE = ["Mozilla/5.0 (Linux; Android 9; CUBOT X18 Plus) AppleWebKit/537.36 Chrome/90", "Cubot Note 20", "CUBOT-J20"]
PEOPLE += ["Dalvik/2.1.0 (Linux; U; Android 9; CUBOT)", "Abbott/1.0", "Talbot/1", "SpiderMan/2 CFNetwork", "Botswana/1"]
PEOPLE += ["Mozilla/5.0 (Linux; Android 12; ROBOT) Mobile"]
MACHINES = ["Googlebot/2.1", "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", "Baiduspider"]
MACHINES += [
    "Mozilla/5.0 (Linux; Android 6.0; Nexus 5X) (compatible; Googlebot/2.1; +http://x)",
    "LinkedInBot",
]
MACHINES += ["Mail.RU_Bot/2.0", "HubSpot Crawler", "Mozilla/5.0 (Linux; Android 9; CUBOT) (compatible; Applebot/0.1)"]


def test_telephones_are_not_bots():
    sent = pd.to_datetime(["2025-05-01 09:00Z"] * (len(PEOPLE) + len(MACHINES)))
    late = sent + pd.Timedelta("1h")
    found = adapters.machine_responses(["open"] * len(sent), late, sent, user_agent=PEOPLE + MACHINES)
    assert found.tolist() == [False] * len(PEOPLE) + [True] * len(MACHINES)


# ---- withdrawals by any name, from any reader, seen by a plan --------------------------------------------------


WITHDRAWING_TRAITS = {
    "consentEmail": False,
    "Consent_Email": "no",
    "CONSENT_EMAIL": None,
    "unsubscribed": True,
    "unsubscribed_at": "2025-05-02",
    "emailOptOut": 1,
    "email_opted_out": "yes",
    "email_opt_in": False,
    "email_subscribe": "unsubscribed",
}


@pytest.mark.parametrize("name", WITHDRAWING_TRAITS)
def test_a_trait_withdraws_by_any_spelling(name):
    yes, no = told(1, consent_email=True), told(2, **{name: WITHDRAWING_TRAITS[name]})
    assert not consents([yes, no])
    assert consents([yes, no, told(3, consent_email=True)])


def test_traits_that_withdraw_nothing_leave_a_consent_alone():
    traits = {"unsubscribed": False, "emailOptOut": "no", "email_opt_in": True, "subscribed": False, "plan": "opt"}
    assert consents([told(1, consent_email=True), told(2, **traits)])
    assert adapters.segment([told(1, email_opt_in=True)]).users.columns.tolist() == ["user_id", "timezone"]


def test_one_consent_in_two_spellings_is_one_column_and_the_no_wins():
    read = adapters.segment([told(1, consent_SMS=True, consentSms=False)])
    assert read.users[["consent_sms"]].values.tolist() == [[False]]


@pytest.mark.parametrize("broken", ["{'consent_email': False}", '{"consent_email": fal', "email_opt_out=1"])
def test_traits_that_cannot_be_read_and_may_withdraw_do(broken):
    call = {"type": "identify", "userId": "ann", "timestamp": MAY.format(2), "traits": broken}
    assert not consents([told(1, consent_email=True), call])
    assert adapters.segment([call]).unused["became"].tolist() == ["invalid"]


@pytest.mark.parametrize(
    ("event", "channel"),
    [
        ("Unsubscribe Link Clicked", ""),
        ("Email Unsubscribe Clicked", "email"),
        ("Unsubscribes", ""),
        ("Consent Withdrawn", ""),
        ("Email Consent Revoked", "email"),
        ("Unsubscribe Page Viewed", None),
        ("Unsubscribe Failed", None),
        ("cookie_opt_out", None),
        ("Subscription Cancelled", None),
    ],
)
def test_an_event_withdraws_by_its_name(event, channel):
    assert withdrawn_channel(event) == channel


def ga4_row(name):
    return {"event_name": name, "event_timestamp": 1746086400000000, "user_id": "ann", "platform": "WEB"}


READERS = {
    "ga4": lambda name: adapters.ga4([ga4_row(name)]),
    "ga4, called otherwise": lambda name: adapters.ga4([ga4_row(name)], events={name: "bye"}),
    "snowplow": lambda name: adapters.snowplow(
        [{"event_name": name, "derived_tstamp": "2025-05-01", "user_id": "ann"}]
    ),
    "cloudevents": lambda name: adapters.cloudevents(
        [{"type": f"com.shop.{name}.v1", "id": "1", "source": "s", "subject": "ann", "time": MAY.format(1)}]
    ),
    "segment": lambda name: adapters.segment([track(name, MAY.format(1))]),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", ["email_unsubscribed", "newsletter_unsubscribe", "email_opt_out"])
def test_every_reader_hears_an_unsubscription(reader, name):
    read = READERS[reader](name)
    assert read.users[["user_id", "consent_email"]].values.tolist() == [["ann", False]]
    assert read.counts["became"].tolist() in (["identity"], ["event"])


def test_an_unsubscription_of_nobody_is_invalid():
    row = {"event_name": "unsubscribe", "event_timestamp": 1746086400000000}
    assert adapters.ga4([row]).counts[["became", "why"]].values.tolist() == [["invalid", "no user id"]]


def planned(calls, *, crm=None):
    """How many touches on 20 May does a plan keep that knows what the reader returned?"""
    read = adapters.segment(calls)
    audience = om.Audience.from_frame(read.users if crm is None else crm)
    offer = pd.DataFrame({"user_id": ["ann"], "item_id": "i", "channel": "email", "value": 1.0,
                          "send_at": pd.to_datetime(["2025-05-20 12:00"], utc=True)})  # fmt: skip
    sent = om.MessageLog.from_frame(read.messages)
    return len(om.plan(om.planning.Candidates.from_frame(offer, om.Dataset(messages=sent, audience=audience))))


DELIVERED = track("Email Delivered", MAY.format(2), email_id="e1")


def test_a_later_yes_is_planned_again_and_an_older_one_is_not():
    gone = track("Unsubscribed", MAY.format(3), email_id="e1")
    yes = told(1, consent_email=True)
    assert planned([yes, DELIVERED]) == 1
    assert planned([yes, DELIVERED, gone]) == 0
    assert planned([yes, DELIVERED, gone, told(4, consent_email=True)]) == 1
    assert planned([yes, DELIVERED, gone, told(3, consent_email=True)]) == 0  # of one instant
    again = track("Unsubscribed", MAY.format(5), email_id="e1")
    assert planned([yes, DELIVERED, gone, told(4, consent_email=True), again]) == 0


def test_a_yes_is_as_old_as_it_says():
    gone = track("Unsubscribed", MAY.format(3), email_id="e1")
    later = told(4, consent_email=True, consent_email_at=MAY.format(1))
    assert planned([DELIVERED, gone, later]) == 0
    assert planned([DELIVERED, gone, told(4, consent_email=True, consent_email_at="soon")]) == 0


@pytest.mark.parametrize("event", ["Unsubscribed", "Email Unsubscribe Clicked", "User Opted Out", "List Unsubscribed"])
@pytest.mark.parametrize("message", [{}, {"email_id": "another"}, {"email_id": "e1"}], ids=str)
def test_messages_alone_know_who_unsubscribed(event, message):
    crm = pd.DataFrame({"user_id": ["ann"], "timezone": ["UTC"], "consent_email": [True]})
    assert planned([DELIVERED], crm=crm) == 1
    assert planned([DELIVERED, track(event, MAY.format(3), **message)], crm=crm) == 0


def test_a_withdrawal_stands_on_one_message_before_it_and_on_its_own_channel():
    calls = [
        DELIVERED,
        track("Email Delivered", MAY.format(4), email_id="e2"),
        track("Email Delivered", MAY.format(6), email_id="e3"),
        track("SMS Delivered", MAY.format(4)),
        track("Unsubscribed", MAY.format(5), email_id="gone"),
    ]
    messages = adapters.segment(calls).messages
    assert messages["unsubscribed_at"].notna().sum() == 1
    row = messages[messages["unsubscribed_at"].notna()].iloc[0]
    assert (row["channel"], row["sent_at"].day, row["unsubscribed_at"].day) == ("email", 4, 5)
    everywhere = adapters.segment([*calls[:-1], track("Opted Out", MAY.format(5))]).messages
    assert sorted(everywhere.loc[everywhere["unsubscribed_at"].notna(), "channel"]) == ["email", "sms"]
