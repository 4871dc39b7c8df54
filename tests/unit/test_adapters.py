"""Other people's conventions: what becomes of each record, and that none is lost."""

import gzip
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import omnireco as om
from omnireco import adapters
from omnireco.errors import ParameterError, SchemaError, StorageError


def track(event, at="2025-05-01T08:00:00Z", user="ann", **more):
    properties = more.pop("properties", {})
    return {"type": "track", "event": event, "userId": user, "timestamp": at, "properties": properties, **more}


def became(read):
    return {(row.record, row.became): row.records for row in read.counts.itertuples()}


# ---- Segment ----------------------------------------------------------------------------------------------


def test_segment_commerce():
    calls = [
        track("Product Viewed", properties={"product_id": "tea", "price": 4.5}, messageId="m1", channel="browser"),
        track(
            "Order Completed",
            properties={
                "order_id": "o1",
                "products": [
                    {"product_id": "tea", "price": "4.50", "quantity": 2},
                    {"sku": "cup-1", "price": 8},
                    {"name": "no id"},
                ],
            },
            messageId="m2",
            context={"library": {"name": "analytics-ios"}, "sessionId": 77},
        ),
        track("Order Updated", properties={"order_id": "o1"}),
        track("Order Refunded", properties={"products": [{"product_id": "tea", "price": 4.5, "quantity": 1}]}),
        track("Video Played", properties={"product_id": "film"}),
        track("Cat Petted"),
        track("Product Viewed", at="2025-05-01T08:00:00"),  # no zone
        track("Product Viewed", at="yesterday"),
        track("Product Viewed", user=None),
        {"type": "page", "anonymousId": "k1", "timestamp": "2025-05-01T07:00:00+02:00", "messageId": "m9"},
        {"type": "screen", "userId": 36.0, "timestamp": "2025-05-01T07:30:00Z"},
        {"type": "group", "userId": "ann", "timestamp": "2025-05-01T07:30:00Z"},
    ]
    read = adapters.segment(calls, events={"Video Played": "view"})
    assert read.n_records == len(calls) == read.counts["records"].sum()
    assert read.counts.groupby("became")["records"].sum()["invalid"] == 3
    assert {kind: n for kind, n in became(read).items() if kind[1] != "invalid"} == {
        ("Product Viewed", "event"): 1,
        ("Order Completed", "event"): 1,
        ("Order Updated", "ignored"): 1,
        ("Order Refunded", "event"): 1,
        ("Video Played", "event"): 1,
        ("Cat Petted", "unknown"): 1,
        ("page", "event"): 1,
        ("screen", "event"): 1,
        ("group", "unknown"): 1,
    }
    events = read.events
    assert events["event"].tolist() == ["view", "purchase", "purchase", "purchase", "return", "view", "page", "screen"]
    assert events["item_id"].fillna("").tolist() == ["tea", "tea", "cup-1", "", "tea", "film", "", ""]
    assert events["value"].fillna(-1).tolist() == [4.5, 9.0, 8.0, -1, -4.5, -1, 0.0, 0.0]  # -1: no price is known
    assert events["channel"].tolist() == ["web", "app", "app", "app", "unknown", "unknown", "web", "app"]
    assert events["user_id"].tolist() == ["ann"] * 6 + ["k1", "36"]
    assert events["event_id"].tolist()[:4] == ["m1", "order o1/tea", "order o1/cup-1", "order o1/"]
    assert events["timestamp"].iloc[6] == pd.Timestamp("2025-05-01 05:00", tz="UTC")
    log = om.EventLog.from_frame(events, itemless="keep")
    assert len(log) == 8
    twice = om.EventLog.from_frame(adapters.segment(calls * 2).events, itemless="keep", on_invalid="drop")
    assert twice.check().rows("duplicate").size == len(twice) // 2


def test_segment_identity_feeds_links_and_audience():
    calls = [
        {"type": "identify", "userId": "ann", "anonymousId": "k1", "timestamp": "2025-05-01T08:00:00Z",
         "traits": {"email": " Ann@Example.org", "timezone": "Asia/Tokyo", "consent_email": True, "plan": "gold"}},
        {"type": "identify", "userId": "ann", "timestamp": "2025-05-02T08:00:00Z", "traits": {"consent_email": False}},
        {"type": "alias", "userId": "ann", "previousId": "k2", "timestamp": "2025-05-02T08:00:00Z"},
        {"type": "alias", "userId": "ann", "timestamp": "2025-05-02T08:00:00Z"},
        {"type": "page", "userId": "ann", "anonymousId": "k3", "timestamp": "2025-05-03T08:00:00Z"},
        {"type": "page", "anonymousId": "k2", "timestamp": "2025-04-01T08:00:00Z"},
    ]  # fmt: skip
    read = adapters.segment(calls)
    assert read.counts["records"].sum() == 6
    assert became(read)[("alias", "invalid")] == 1
    identities = om.identity.Identities.from_links(read.links, trusted=["user"])
    assert identities.people.ids.tolist() == ["ann"]
    assert "Example" not in read.links.to_string()
    assert adapters.hashed_email("ann@example.org") in set(read.links["id_b"])
    log = om.EventLog.from_frame(read.events, itemless="keep").resolve(identities)
    assert log.n_users == 1
    audience = om.Audience.from_frame(read.users)
    assert audience.to_frame()[["timezone", "consent_email"]].values.tolist() == [["Asia/Tokyo", False]]


def test_segment_messages():
    def mail(event, second, email="e1", user="ann", **properties):
        at = (pd.Timestamp("2025-05-01T09:00:00Z") + pd.Timedelta(seconds=second)).isoformat()
        agent = properties.pop("agent", None)
        return track(
            event, at=at, user=user, properties={"email_id": email, **properties}, context={"userAgent": agent}
        )

    apple, phone = "Mozilla/5.0", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X)"
    calls = [
        mail("Email Delivered", 0, campaign_id="may"),
        mail("Email Opened", 20, agent=apple),
        mail("Email Opened", 3600, agent=phone),
        mail("Email Link Clicked", 3660),
        mail("Unsubscribed", 3700),
        mail("Email Delivered", 0, "e2", "bob"),
        mail("Email Opened", 30, "e2", "bob", agent=apple),
        mail("Email Delivered", 0, "e3", "cat"),
        mail("Email Link Clicked", 5, "e3", "cat"),
        mail("Email Link Clicked", 5.5, "e3", "cat"),
        mail("Email Link Clicked", 6, "e3", "cat"),
        mail("Email Delivered", 0, "e4", "dan"),
        mail("Email Opened", 0.5, "e4", "dan"),
        mail("Email Opened", 9, "e9", "eve"),  # nobody sent it
        mail("Email Bounced", 9, "e8", "eve"),
        track("Push Notification Received", user="dan", properties={"campaign_id": "p1"}),
        track("Push Notification Tapped", at="2025-05-01T08:05:00Z", user="dan", properties={"campaign_id": "p1"}),
        track("Push Notification Tapped", at="2025-04-01T08:05:00Z", user="dan", properties={"campaign_id": "p1"}),
    ]
    read = adapters.segment(calls)
    assert read.counts["records"].sum() == len(calls)
    lost = read.unused.set_index("why")["records"].to_dict()
    assert lost == {
        "response to a message without a send": 1,
        "response before the message was sent": 1,
        "was never delivered": 1,
    }
    rows = read.messages.set_index(["user_id", "channel"])
    start = pd.Timestamp("2025-05-01T09:00:00Z")
    ann = rows.loc[("ann", "email")]
    assert (ann["responded_at"] - start).total_seconds() == 3600  # the person, not Apple's proxy before
    assert (ann["clicked_at"] - start).total_seconds() == 3660
    assert (ann["unsubscribed_at"] - start).total_seconds() == 3700
    assert ann["creative_id"] == "may"
    assert rows["machine"].to_dict() == {
        ("ann", "email"): False,
        ("bob", "email"): True,
        ("cat", "email"): True,
        ("dan", "email"): True,
        ("dan", "push"): False,
    }
    assert rows["clicked_at"].notna().sum() == 2  # a scanner's clicks are none
    log = om.MessageLog.from_frame(read.messages)
    assert len(log) == 5
    assert log.machine[log.responded].tolist().count(1.0) == 3


def test_machines_by_plain_rules():
    sent = pd.to_datetime(["2025-05-01T09:00:00Z"] * 6)
    at = sent + pd.to_timedelta([0.2, 0.2, 5, 100, 101, 103], unit="s")
    kind = ["open", "unsubscribe", "open", "click", "click", "click"]
    assert adapters.machine_responses(kind, at, sent).tolist() == [True, False, False, False, False, False]
    burst = adapters.machine_responses(
        kind, at - pd.to_timedelta([0, 0, 0, 0, 0, 1], unit="s"), sent, message=np.zeros(6, int)
    )
    assert burst.tolist() == [True, False, False, True, True, True]
    agents = ["", None, "GoogleImageProxy (via ggpht.com)", "Barracuda Sentinel", "Mozilla/5.0", "python-requests/2"]
    late = sent + pd.Timedelta("1h")
    assert adapters.machine_responses(["open"] * 6, late, sent, user_agent=agents).tolist() == [False] * 3 + [True] * 3
    flags = adapters.machine_responses(["open"] * 6, late, sent, flag=[True, "true", 1, None, False, "no"])
    assert flags.tolist() == [True, True, True, False, False, False]
    assert adapters.machine_responses([], [], []).size == 0


# ---- GA4, Snowplow, CloudEvents, shops ----------------------------------------------------------------------


def ga4_rows():
    at = 1_746_086_400_000_000
    base = {"user_pseudo_id": "p1", "user_id": None, "platform": "WEB", "event_timestamp": at, "items": []}
    session = [{"key": "ga_session_id", "value": {"int_value": 99, "string_value": None}}]
    tea = {"item_id": "tea", "price": 4.5, "quantity": 2, "location_id": "s1"}
    return [
        base | {"event_name": "view_item", "items": [tea | {"quantity": None}], "event_params": session},
        base | {"event_name": "purchase", "user_id": "ann", "items": [tea, {"item_id": "cup", "price": 8.0}]},
        base | {"event_name": "page_view", "platform": "ANDROID"},
        base | {"event_name": "scroll"},
        base | {"event_name": "cat_petted"},
    ]


@pytest.mark.parametrize("dress", [list, pd.DataFrame, pa.Table.from_pylist])
def test_ga4(dress):
    read = adapters.ga4(dress(ga4_rows()))
    assert read.counts["records"].sum() == 5
    assert read.unused["record"].tolist() == ["cat_petted", "scroll"]
    assert read.events["event"].tolist() == ["view", "purchase", "purchase", "page"]
    assert read.events["value"].tolist() == [4.5, 9.0, 8.0, 0.0]
    assert read.events["channel"].tolist() == ["web", "web", "web", "app"]
    assert read.events["user_id"].tolist() == ["p1", "ann", "ann", "p1"]
    assert read.events["session_id"].iloc[0] == "99"
    assert read.events["store_id"].iloc[:2].tolist() == ["s1", "s1"]
    assert read.events["timestamp"].iloc[0] == pd.Timestamp("2025-05-01 08:00", tz="UTC")
    assert om.identity.Identities.from_links(read.links, trusted=["user"]).people.ids.tolist() == ["ann"]


def test_snowplow():
    action = "unstruct_event_com_snowplowanalytics_snowplow_ecommerce_snowplow_ecommerce_action_1"
    product = "contexts_com_snowplowanalytics_snowplow_ecommerce_product_1"
    base = {
        "domain_userid": "d1",
        "network_userid": "n1",
        "platform": "web",
        "collector_tstamp": "2025-05-01 08:00:01.5",
    }
    rows = [
        base | {"event_name": "snowplow_ecommerce_action", "event_id": "x1", action: {"type": "add_to_cart"},
                product: [{"id": "tea", "price": 4.5, "quantity": 2}], "derived_tstamp": "2025-05-01 08:00:00.000"},
        base | {"event_name": "snowplow_ecommerce_action", "event_id": "x2", action: '{"type": "transaction"}',
                product: '[{"id": "tea", "price": 4.5}, {"id": "cup", "price": 8}]', "user_id": "ann"},
        base | {"event": "page_view", "platform": "mob"},
        base | {"event": "page_ping"},
        base | {"event_name": "cat_petted"},
        {"event": "page_view", "platform": "web"},
    ]  # fmt: skip
    read = adapters.snowplow(rows)
    assert read.counts["records"].sum() == 6
    assert read.events["event"].tolist() == ["add_to_cart", "purchase", "purchase", "page"]
    assert read.events["value"].tolist() == [9.0, 4.5, 8.0, 0.0]
    assert read.events["user_id"].tolist() == ["d1", "ann", "ann", "d1"]
    assert read.events["channel"].tolist() == ["web", "web", "web", "app"]
    assert read.events["timestamp"].iloc[0] == pd.Timestamp("2025-05-01 08:00", tz="UTC")
    assert om.identity.Identities.from_links(read.links, trusted=["user"]).people.ids.tolist() == ["ann"]
    assert dict(zip(read.unused["record"], read.unused["became"], strict=True)) == {
        "cat_petted": "unknown", "page_ping": "ignored", "page_view": "invalid"
    }  # fmt: skip


def test_cloudevents():
    envelope = {"specversion": "1.0", "source": "/shop", "time": "2025-05-01T08:00:00Z", "subject": "ann"}
    bob = '{"event": "purchase", "item_id": 7, "user_id": "bob"}'
    rows = [
        envelope | {"id": "1", "type": "com.shop.viewed", "data": {"product_id": "tea", "channel": "web", "value": 2}},
        envelope | {"id": "2", "type": "omnireco.event.v1", "data": bob},
        envelope | {"id": "3", "type": "com.shop.petted", "data": {}},
        envelope | {"id": "4", "type": "omnireco.event.v1", "data": "not json"},
        envelope | {"id": "5", "type": "omnireco.decision.v1", "data": {"item_id": "tea"}},
    ]
    read = adapters.cloudevents(rows, types={"com.shop.viewed": "view"})
    assert read.events[["user_id", "item_id", "channel", "event", "value"]].fillna({"value": -1}).values.tolist() == [
        ["ann", "tea", "web", "view", 2.0],
        ["bob", "7", "unknown", "purchase", -1],  # no value is known
    ]
    assert read.events["event_id"].tolist() == ["/shop/1", "/shop/2"]
    assert read.unused["became"].tolist() == ["unknown", "ignored", "invalid"]


@pytest.mark.parametrize(
    ("change", "why"),
    [({"specversion": True}, "specversion"), ({"specversion": ["1.0"]}, "specversion"),
     ({"specversion": "1.0.2"}, "specversion"), ({"data_base64": "e30="}, "of which one"),
     ({"data": None, "data_base64": 5}, "no text"), ({"data": None, "data_base64": "e3_-"}, "cannot be read")],
)  # fmt: skip
def test_envelopes_that_are_none_are_not_read_in_part(change, why):
    envelope = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "viewed", "subject": "ann"}
    envelope |= {"time": "2025-05-01T08:00:00Z", "data": {"item_id": "tea"}}
    read = adapters.cloudevents([envelope | change], types={"viewed": "view"})
    assert len(read.events) == 0
    assert why in read.unused["why"].iloc[0]


def test_shops():
    shop = {
        "id": 1001, "created_at": "2025-05-01T10:00:00+02:00", "source_name": "pos", "location_id": 5,
        "email": "A@x.org",
        "customer": {"id": 7, "email_marketing_consent": {"state": "subscribed"},
                     "sms_marketing_consent": {"state": "pending"}},
        "line_items": [{"product_id": 11, "price": "4.50", "quantity": 2},
                       {"product_id": None, "sku": "gift", "price": "1"}],
        "refunds": [{"id": 3, "created_at": "2025-05-03T10:00:00+02:00", "refund_line_items": [
            {"quantity": 1, "line_item": {"product_id": 11, "price": "4.50", "quantity": 2}}]}],
    }  # fmt: skip
    read = adapters.shopify([shop, shop | {"id": 2, "test": True}, shop | {"id": 3, "customer": None, "refunds": []}])
    assert read.counts["records"].sum() == 3
    assert read.events["event"].tolist() == ["purchase", "purchase", "return", "purchase", "purchase"]
    assert read.events["value"].tolist() == [9.0, 1.0, -4.5, 9.0, 1.0]
    assert set(read.events["channel"]) == {"store"}
    guest = adapters.hashed_email("a@x.org")
    assert read.events["user_id"].tolist() == ["7", "7", "7", guest, guest]
    log = om.EventLog.from_frame(read.events).resolve(
        om.identity.Identities.from_links(read.links, trusted=["customer"])
    )
    assert log.users.ids.tolist() == ["7"]  # the guest had bought before
    consents = read.users.set_index("user_id").loc["7"]
    assert consents["consent_email"] is True or bool(consents["consent_email"])
    assert not consents["consent_sms"]
    assert om.Audience.from_frame(read.users).consent.tolist() == [[True, False], [False, False]]

    woo = {"id": 5, "status": "completed", "date_created_gmt": "2025-05-01T08:00:00", "customer_id": 0,
           "billing": {"email": "a@x.org"}, "created_via": "checkout",
           "line_items": [{"product_id": 11, "quantity": 2, "total": "9.00"}]}  # fmt: skip
    read = adapters.woocommerce([woo, woo | {"id": 6, "status": "pending"}, woo | {"id": 7, "status": "refunded"}])
    assert read.events["value"].tolist() == [9.0, 9.0, -9.0]
    assert read.events["user_id"].tolist() == [guest] * 3
    assert read.events["timestamp"].iloc[0] == pd.Timestamp("2025-05-01 08:00", tz="UTC")
    assert read.unused["why"].tolist() == ["status pending"]


# ---- files and hostile input ----------------------------------------------------------------------------------

READERS = [
    adapters.segment,
    adapters.ga4,
    adapters.snowplow,
    adapters.cloudevents,
    adapters.shopify,
    adapters.woocommerce,
]


def test_files(tmp_path):
    rows = ga4_rows()
    plain, packed, shop = tmp_path / "a.jsonl", tmp_path / "a.jsonl.gz", tmp_path / "orders.json"
    text = "\n".join(map(json.dumps, rows)) + "\n\n"
    plain.write_text(text)
    packed.write_bytes(gzip.compress(text.encode()))
    whole = adapters.ga4(rows)
    for path in (plain, str(plain), packed):
        pd.testing.assert_frame_equal(adapters.ga4(path).events, whole.events)
    shop.write_text(json.dumps({"orders": [{"id": 1, "test": True}]}))
    assert adapters.shopify(shop).n_records == 1
    plain.write_text(text + '{"cut off')
    with pytest.raises(SchemaError, match=r"line 7 of 'a.jsonl' is not JSON"):
        adapters.ga4(plain)
    with pytest.raises(StorageError, match=r"cannot read 'absent\.jsonl'"):
        adapters.ga4(tmp_path / "absent.jsonl")


@pytest.mark.parametrize("read", READERS)
def test_hostile_records_are_counted(read):
    rubbish = [
        {}, {"type": None}, {"type": "track"}, {"type": 7, "event": ["x"]},
        {"type": "track", "event": "Product Viewed"},
        {"type": "track", "event": "Order Completed", "userId": "a", "timestamp": 10**30,
         "properties": {"products": 5}},
        {"type": "track", "event": "Order Completed", "userId": "a", "timestamp": float("nan"), "properties": "x"},
        {"type": "identify", "userId": "a", "traits": [1]}, {"event_name": "purchase", "items": {"a": 1}},
        {"event_name": "purchase", "user_id": "u", "event_timestamp": "soon", "items": [None, "x"]},
        {"id": 1, "line_items": 3, "customer": "x", "email": 7, "created_at": "2025-05-01T00:00:00Z"},
        {"id": 1, "customer_id": 3, "line_items": [{"product_id": {}}], "date_created_gmt": "2025-13-01T00:00:00"},
    ]  # fmt: skip
    result = read(rubbish)
    assert result.n_records == len(rubbish) == result.counts["records"].sum()
    om.EventLog.from_frame(result.events, itemless="keep")
    om.MessageLog.from_frame(result.messages)
    om.identity.Identities.from_links(result.links)
    om.Audience.from_frame(result.users)
    nothing = read([])
    assert (nothing.n_records, len(nothing.events), len(nothing.messages)) == (0, 0, 0)
    om.EventLog.from_frame(nothing.events, itemless="keep")
    assert "0 records" in repr(nothing)
    assert "<table" in result._repr_html_()
    with pytest.raises(SchemaError, match="Got one mapping"):
        read({})
    with pytest.raises(SchemaError, match="record 0 is not a dict but int"):
        read([1])
    with pytest.raises(SchemaError, match="takes a list of dicts, a path or a frame"):
        read(3)


# ---- out ------------------------------------------------------------------------------------------------------


@pytest.fixture
def plan():
    frame = pd.DataFrame(
        {
            "user_id": ["ann", "ann", "bob"],
            "item_id": ["tea", "cup", "tea"],
            "channel": ["email", "push", "email"],
            "send_at": pd.to_datetime(["2025-06-01 09:40", "2025-06-01 18:00", "2025-06-02 07:00"], utc=True),
            "probability": [0.2, 0.1, 0.3],
            "value": [1.0, 0.5, 2.0],
        }
    )
    people = pd.DataFrame(
        {"user_id": ["ann", "bob"], "timezone": ["Asia/Tokyo", None], "consent_email": True, "consent_push": True}
    )
    return om.plan(om.planning.Candidates.from_frame(frame, om.Dataset(audience=om.Audience.from_frame(people))))


def test_plans_leave_as_cloudevents(plan, tmp_path):
    path = tmp_path / "plan.jsonl"
    events = adapters.to_cloudevents(plan, path, source="/crm", at="2025-05-31")
    assert events == [json.loads(line) for line in path.read_text().splitlines()]
    assert [event["id"] for event in adapters.to_cloudevents(plan, source="/crm")] == [event["id"] for event in events]
    assert len({event["id"] for event in events}) == len(plan) == 3
    first = events[0]
    assert (first["type"], first["subject"], first["time"]) == (
        "omnireco.decision.v1",
        "ann",
        "2025-05-31T00:00:00+00:00",
    )
    assert first["data"]["send_at_local"] == "2025-06-01T18:40:00"
    assert events[2]["data"]["send_at_local"] is None
    assert adapters.cloudevents(events).unused["became"].tolist() == ["ignored"]


def test_plans_leave_as_csv_and_minutes(plan, tmp_path):
    path = adapters.to_crm_csv(plan, tmp_path / "plan.csv")
    rows = pd.read_csv(path)
    assert rows.columns.tolist()[:6] == ["user_id", "channel", "send_at", "send_at_local", "send_minute", "item_id"]
    assert rows["send_minute"].tolist()[:2] == [18 * 60 + 40, 27 * 60 - 24 * 60]
    assert rows["send_minute"].isna().tolist() == [False, False, True]
    assert rows["send_at"].iloc[0] == "2025-06-01T09:40:00+00:00"
    minutes = adapters.to_send_minutes(plan)
    assert minutes.columns.tolist() == ["user_id", "send_minute_email", "send_minute_push"]
    assert minutes.values.tolist() == [["ann", 1120, 180]]
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(StorageError, match=r"cannot write 'plan.csv'"):
        adapters.to_crm_csv(plan, tmp_path / "absent" / "plan.csv")
    for verb in (adapters.to_cloudevents, adapters.to_send_minutes, lambda plan: adapters.to_crm_csv(plan, path)):
        with pytest.raises(ParameterError, match="takes a Plan"):
            verb(7)


def test_minutes_of_a_send_time_model():
    world = om.simulate(n_users=40, n_items=20, days=60, seed=1)
    log, audience = om.EventLog.from_frame(world.events), om.Audience.from_frame(world.users)
    timing = om.SendTime().fit(om.Dataset(log, messages=om.MessageLog.from_frame(world.messages), audience=audience))
    best = [
        timing.best(om.Dataset(audience=audience), "2025-06-02", 7, channel=channel)
        for channel in audience.channels.ids
    ]
    minutes = adapters.to_send_minutes(pd.concat(best))
    assert minutes["user_id"].is_monotonic_increasing
    cells = minutes.drop(columns="user_id").to_numpy("float64", na_value=np.nan)
    assert np.nanmin(cells) >= 0
    assert np.nanmax(cells) < 1440
