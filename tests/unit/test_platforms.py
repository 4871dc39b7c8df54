"""Exports of messaging and experience platforms, and the public log of REES46."""

import json

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco import adapters
from omnireco.adapters.records import Collector
from omnireco.errors import ParameterError, SchemaError, StorageError

NOON = 1746100800  # 2025-05-01 12:00 UTC


def became(read):
    assert read.counts["records"].sum() == read.n_records
    return {(row.record, row.became): row.records for row in read.counts.itertuples()}


def cells(frame, *names):
    """Return columns as lists, what is missing as None, whatever the pandas."""
    return [[None if pd.isna(one) else one for one in values] for values in frame[list(names)].values.tolist()]


def instant(text):
    return pd.Timestamp(text, tz="UTC")


# ---- Braze -------------------------------------------------------------------------------------------------


def mail(what, seconds=0, channel="email", **more):
    kind = f"users.messages.{channel}.{what}"
    return {"event_type": kind, "external_user_id": "ann", "time": NOON + seconds, "dispatch_id": "d1", **more}


def test_braze_messages_purchases_and_subscriptions():
    read = adapters.braze(
        [
            mail("Send", message_variation_id="v1", user_id="b1"),
            mail("Delivery", 2),
            mail("Open", 30, machine_open="true"),
            mail("Open", 600),
            mail("Click", 660),
            mail("SoftBounce", 700),
            mail("Send", 10, channel="pushnotification", external_user_id="bob"),
            mail("Bounce", 11, channel="pushnotification", external_user_id="bob"),
            mail("Impression", channel="contentcard"),
            {
                "event_type": "users.behaviors.Purchase",
                "external_user_id": "ann",
                "time": NOON,
                "product_id": "tea",
                "price": "4.50",
                "platform": "ios",
                "id": "e1",
            },
            {
                "event_type": "users.behaviors.CustomEvent",
                "user": {"user_id": "b9", "timezone": "Asia/Tokyo"},
                "properties": {"name": "viewed_item", "item_id": "cup"},
                "time": NOON,
            },
            {
                "event_type": "users.behaviors.subscription.GlobalStateChange",
                "external_user_id": "ann",
                "time": NOON + 900,
                "subscription_status": "Unsubscribed",
                "channel": "email",
            },
            {
                "event_type": "users.behaviors.subscription.GlobalStateChange",
                "external_user_id": "cid",
                "time": NOON,
                "subscription_status": "Opted In",
                "channel": "push",
            },
            mail("Open", user=None, external_user_id=None),
        ],
        events={"Viewed_Item": "view"},
    )
    first = read.messages[read.messages["user_id"] == "ann"].iloc[0]
    assert first["responded_at"] == instant("2025-05-01 12:10")
    assert first["clicked_at"] == instant("2025-05-01 12:11")
    assert first["creative_id"] == "v1"
    assert not first["machine"]
    assert read.events[["user_id", "item_id", "channel", "event"]].values.tolist() == [
        ["ann", "tea", "app", "purchase"],
        ["b9", "cup", "unknown", "view"],
    ]
    users = read.users.set_index("user_id")
    assert users.loc["b9", "timezone"] == "Asia/Tokyo"
    assert not users.loc["ann", "consent_email"]
    assert users.loc["cid", "consent_push"]
    assert not users.loc["bob", "reachable_push"]
    assert became(read)["users.messages.contentcard.Impression", "ignored"] == 1
    assert became(read)["users.messages.email.Open", "invalid"] == 1
    assert read.links[["id_a", "id_b"]].values.tolist() == [["b1", "ann"]]


def test_a_folder_of_braze_states_its_type():
    flat = [{"external_user_id": "ann", "time": NOON, "dispatch_id": "d"}]
    assert len(adapters.braze(flat, event_type="users.messages.sms.Send").messages) == 1
    assert became(adapters.braze(flat)) == {("(no type)", "unknown"): 1}
    with pytest.raises(ParameterError, match=r"event_type must be a text such as"):
        adapters.braze(flat, event_type=3)


# ---- Klaviyo -----------------------------------------------------------------------------------------------


def event(metric, seconds=0, profile="p1", **properties):
    return {
        "type": "event",
        "id": f"{metric}{seconds}",
        "attributes": {"timestamp": NOON + seconds, "event_properties": properties},
        "relationships": {
            "metric": {"data": {"type": "metric", "id": metric}},
            "profile": {"data": {"type": "profile", "id": profile}},
        },
    }


def named(metric, name):
    return {"type": "metric", "id": metric, "attributes": {"name": name}}


def test_klaviyo_reads_names_from_any_page(tmp_path):
    pages = [
        {
            "data": [
                event("R", **{"$message": "m1"}),
                event("O", 60, **{"$message": "m1"}),
                event("P", 90, ProductID="tea", **{"$value": 9.0}),
                event("W", 90, **{"$value": 9.0}),
                event("F", 95, **{"$value": 9.0}),
                event("?", 96),
            ],
            "included": [
                named("R", "Received Email"),
                {
                    "type": "profile",
                    "id": "p1",
                    "attributes": {
                        "external_id": "ann",
                        "email": "Ann@Example.org",
                        "location": {"timezone": "Europe/Paris"},
                    },
                },
            ],
        },
        {
            "data": [event("U", 120, **{"$message": "m1"}), event("B", 130, profile="p2", **{"Bounce Type": "Hard"})],
            "included": [
                named("O", "Opened Email"),
                named("P", "Ordered Product"),
                named("W", "Placed Order"),
                named("F", "Refunded Order"),
                named("U", "Unsubscribed from Email Marketing"),
                named("B", "Bounced Email"),
            ],
        },
    ]
    read = adapters.klaviyo(pages)
    message = read.messages.iloc[0]
    assert message["user_id"] == "ann"
    assert message["responded_at"] == instant("2025-05-01 12:01")
    assert message["unsubscribed_at"] == instant("2025-05-01 12:02")
    assert cells(read.events, "item_id", "event", "value") == [
        ["tea", "purchase", 9.0],
        [None, "return", -9.0],
    ]
    assert became(read)["Placed Order", "ignored"] == 1
    assert became(read)["(no type)", "unknown"] == 1
    assert read.users.set_index("user_id").loc["ann", "timezone"] == "Europe/Paris"
    assert not read.users.set_index("user_id").loc["p2", "reachable_email"]
    assert "example" not in repr(read.links.values.tolist())
    ours = adapters.klaviyo(pages, events={"Placed Order": "purchase", "Ordered Product": "line"})
    assert ours.events["event"].tolist() == ["line", "purchase", "return"]
    path = tmp_path / "pages.jsonl"
    path.write_text("\n".join(json.dumps(page) for page in pages), encoding="utf-8")
    pd.testing.assert_frame_equal(adapters.klaviyo(path).messages, read.messages)


# ---- Adobe -------------------------------------------------------------------------------------------------


def xdm(kind, at="2025-05-01T12:00:00Z", **more):
    people = {"ECID": [{"id": "e1"}], "CRMID": [{"id": "ann", "primary": True}]}
    return {"eventType": kind, "timestamp": at, "identityMap": people, **more}


def journey(at, **more):
    return xdm("message.tracking" if "messageInteraction" in more else "message.feedback", at, _experience={
        "customerJourneyManagement": {"messageExecution": {"messageID": "m1", "campaignID": "c1"},
            "messageProfile": {"channel": {"_id": "https://ns.adobe.com/xdm/channels/push"}}, **more}})  # fmt: skip


def test_xdm_orders_messages_and_identities():
    goods = [{"SKU": "tea", "quantity": 2, "priceTotal": 9.0}, {"SKU": "cup"}]
    read = adapters.adobe_xdm(
        [
            xdm("commerce.productViews", productListItems=goods[:1], web={"webPageDetails": {}}),
            xdm("commerce.purchases", productListItems=goods, commerce={"order": {"purchaseID": "o1"}}),
            xdm("commerce.purchases", commerce={"order": {"purchaseID": "o2", "priceTotal": "12.5"}}),
            {"xdm": {"xdm:eventType": "web.webpagedetails.pageViews", "xdm:timestamp": "2025-05-01T12:00:00Z",
                     "xdm:identityMap": {"Email": [{"xdm:id": "Ann@example.org"}]}}},
            xdm("directMarketing.emailSent"),
            xdm("directMarketing.emailOpened", "2025-05-01T12:30:00Z"),
            journey("2025-05-01T13:00:00Z", messageDeliveryfeedback={"feedbackStatus": "sent"}),
            journey("2025-05-01T13:20:00Z", messageInteraction={"interactionType": "click"}),
            xdm("media.ping"),
            xdm("commerce.productViews", identityMap={}, productListItems=goods),
        ]
    )  # fmt: skip
    assert cells(read.events, "item_id", "event", "channel") == [
        ["tea", "view", "web"],
        ["tea", "purchase", "unknown"],
        ["cup", "purchase", "unknown"],
        [None, "purchase", "unknown"],
        [None, "page", "web"],
    ]
    np.testing.assert_array_equal(read.events["value"], [9.0, 9.0, np.nan, 12.5, 0.0])
    assert read.messages[["channel", "responded_at"]].values.tolist() == [
        ["email", instant("2025-05-01 12:30")],
        ["push", instant("2025-05-01 13:20")],
    ]
    assert set(read.links["kind_a"]) == {"crmid"}
    assert became(read)["media.ping", "unknown"] == 1
    assert became(read)["commerce.productViews", "invalid"] == 1
    assert "example.org" not in read.events.to_csv()


def test_xdm_names_the_person_by_a_namespace():
    read = adapters.adobe_xdm([xdm("commerce.productViews", productListItems=[{"SKU": "tea"}])], namespace="ecid")
    assert read.events["user_id"].tolist() == ["e1"]
    with pytest.raises(ParameterError, match=r"namespace must be a text such as 'CRMID'"):
        adapters.adobe_xdm([], namespace=["ECID"])


# ---- OpenTelemetry -----------------------------------------------------------------------------------------


def pairs(**values):
    return [{"key": key.replace("_", "."), "value": value} for key, value in values.items()]


def test_otlp_lines_and_plain_ones_say_the_same(tmp_path):
    nano = str(NOON * 10**9)
    line = {
        "resourceLogs": [
            {
                "resource": {"attributes": pairs(channel={"stringValue": "web"})},
                "scopeLogs": [
                    {
                        "logRecords": [
                            {
                                "timeUnixNano": nano,
                                "eventName": "product.viewed",
                                "attributes": pairs(
                                    user_id={"stringValue": "ann"},
                                    item_id={"intValue": "36"},
                                    value={"doubleValue": 4.5},
                                    session_id={"stringValue": "s1"},
                                ),
                            },
                            {"timeUnixNano": nano, "body": {"stringValue": "GET /"}},
                            {"timeUnixNano": nano, "eventName": "cat.petted"},
                        ]
                    }
                ],
            }
        ]
    }
    flat = {
        "Timestamp": "2025-05-01T12:00:00Z",
        "Attributes": {"event.name": "product.viewed", "user": {"id": "ann"}, "item.id": 36, "value": 4.5},
        "Resource": {"channel": "web"},
    }
    path = tmp_path / "logs.jsonl"
    path.write_text(json.dumps(line) + "\r\n" + json.dumps(flat) + "\r\n", encoding="utf-8")
    read = adapters.opentelemetry(path, events={"product.viewed": "view"})
    names = ["user_id", "item_id", "channel", "event", "timestamp", "value"]
    assert read.events[names].iloc[0].tolist() == read.events[names].iloc[1].tolist()
    assert became(read) == {
        ("(no type)", "ignored"): 1,
        ("cat.petted", "unknown"): 1,
        ("product.viewed", "event"): 2,
    }
    with pytest.raises(ParameterError, match="events must name an event to read"):
        adapters.opentelemetry(path, events={})
    with pytest.raises(ParameterError, match="item must be the name of an attribute"):
        adapters.opentelemetry(path, events={"a": "view"}, item=None)


# ---- REES46 ------------------------------------------------------------------------------------------------

TIMES = ("opened_first_time_at", "clicked_first_time_at", "unsubscribed_at", "complained_at", "purchased_at")


def row(user="7", sent="2021-05-01 08:00:00", channel="email", **more):
    return {"client_id": user, "channel": channel, "sent_at": sent, **dict.fromkeys(TIMES), **more}


def test_rees46_rows():
    rows = [
        row(id=1, campaign_id=3, message_type="bulk", opened_first_time_at="2021-05-01 09:00:00"),
        row(id=2, message_type="trigger", opened_first_time_at="2021-05-01 08:00:00.4"),
        row(id=3, clicked_first_time_at="2021-05-01 10:00:00", opened_first_time_at="2021-05-01 08:00:00.2"),
        row(id=4, hard_bounced_at="2021-05-01 08:00:05", is_hard_bounced="t"),
        row(id=5, is_opened="t"),
        row(id=6, sent="yesterday"),
        row(id=7, user=None),
        row(id=8, complained_at="2021-05-02 08:00:00", purchased_at="2021-05-01 11:00:00"),
        row(id=9, purchased_at="2021-05-01 11:00:00"),
        row(id=9),
        row(id=10, opened_first_time_at="soon"),
    ]
    read = adapters.rees46_messages(rows, timezone="Europe/Moscow")
    assert read.counts["records"].sum() == len(rows)
    assert read.counts.groupby("became")["records"].sum().to_dict() == {"ignored": 2, "invalid": 4, "message": 5}
    assert read.messages["sent_at"].unique().tolist() == [instant("2021-05-01 05:00")]
    assert read.messages["machine"].tolist() == [False, True, False, pd.NA, pd.NA]
    assert read.messages["responded_at"].iloc[2] == read.messages["clicked_at"].iloc[2]
    assert read.messages["creative_id"].iloc[0] == "bulk/3"
    assert len(read.events) == 1
    assert not read.users.set_index("user_id").loc["7", "reachable_email"]
    assert not read.users.set_index("user_id").loc["7", "consent_email"]
    assert len(om.MessageLog.from_frame(read.messages)) == 5
    assert len(om.EventLog.from_frame(read.events, itemless="keep")) == 1


def test_rees46_is_what_the_rules_say_record_by_record():
    """The columns are those that touches give, one after another, to the collector of all readers."""
    random = np.random.default_rng(4)
    rows, out = [], Collector(naive=True)
    sent = pd.Timestamp("2021-05-01") + pd.to_timedelta(np.sort(random.choice(10**6, 300, replace=False)), unit="s")
    for number, at in enumerate(sent):
        later = [at + pd.Timedelta(seconds=float(s)) for s in random.choice([0.3, 5, 900, 90000], 3)]
        answers = dict(zip(TIMES[:3], [str(t) if random.random() < 0.4 else None for t in later], strict=True))
        one = row(
            f"u{random.integers(40)}", str(at), ["email", "mobile_push"][number % 2], campaign_id=number, **answers
        )
        rows.append(one)
        for name, kind in [("sent_at", "sent"), *zip(TIMES[:3], ("open", "click", "unsubscribe"), strict=True)]:
            if one[name] is not None:
                out.record("message")
                creative = f"campaign/{number}"
                out.touch(one["client_id"], one["channel"], kind, one[name], number, creative=creative)
    ours, theirs = adapters.rees46_messages(rows, timezone="UTC"), out.finish()
    names = [name for name in theirs.messages if name != "unsubscribed_at"]
    pd.testing.assert_frame_equal(ours.messages[names], theirs.messages[names], check_dtype=False)
    columns = sorted(theirs.users.columns)
    pd.testing.assert_frame_equal(
        ours.users[columns].sort_values("user_id", ignore_index=True),
        theirs.users[columns].sort_values("user_id", ignore_index=True),
        check_dtype=False,
    )


def test_rees46_files_of_any_system(tmp_path):
    """A byte-order mark, lines that end as on Windows, packed or not: the same messages."""
    rows = pd.DataFrame([row(id=1, opened_first_time_at="2021-05-01 09:00:00"), row(id=2, user="8")])
    expected = adapters.rees46_messages(rows, timezone="UTC").messages
    assert len(expected) == 2
    for name, options in (("a.csv", {}), ("b.csv", {"encoding": "utf-8-sig"}), ("c.csv.gz", {})):
        rows.to_csv(tmp_path / name, index=False, lineterminator="\r\n", **options)
        found = adapters.rees46_messages(tmp_path / name, timezone="UTC").messages
        pd.testing.assert_frame_equal(found, expected)


def test_rees46_clock_that_shows_an_hour_twice():
    read = adapters.rees46_messages([row(sent="2021-10-31 02:30:00"), row()], timezone="Europe/Berlin")
    assert read.unused["why"].tolist() == ["no time of sending"]


@pytest.mark.parametrize(
    ("records", "zone", "error", "text"),
    [
        ([row()], "Moscow", ParameterError, "timezone must be an IANA zone"),
        ([row()], None, ParameterError, "timezone must be an IANA zone"),
        ([{"client_id": 1}], "UTC", SchemaError, "no column"),
        ({"client_id": 1}, "UTC", SchemaError, "takes a path of CSV, a frame or a list"),
        ("nowhere.csv", "UTC", StorageError, "cannot read 'nowhere.csv'"),
    ],
)
def test_rees46_refuses(records, zone, error, text):
    with pytest.raises(error, match=text):
        adapters.rees46_messages(records, timezone=zone)


# ---- records of the usual shape ----------------------------------------------------------------------------


class ByRule(dict):
    """A record that looks unusual, so that the rules read it."""


ODD = [None, "", " ", "null", "tea", " tea ", 3, 3.0, True, float("nan"), 1e300, 2**60, [], {}, {"a.b": 1}, "1,5", b"x"]


def usual_records(random):
    at = f"2025-05-{random.integers(1, 29):02d}T08:00:00Z"
    call = {
        "type": "track",
        "event": str(random.choice(["Product Viewed", "product added", "Order Completed", "Email Opened", "Opt Out"])),
        "messageId": "m1",
        "userId": f"u{random.integers(9)}",
        "anonymousId": None,
        "channel": "browser",
        "timestamp": at,
        "properties": {"product_id": "tea", "price": 4.5, "quantity": 2, "store_id": "s", "session_id": 7},
        "context": {"sessionId": None},
    }
    row = {
        "event_name": str(random.choice(["view_item", "add_to_cart", "purchase", "scroll", "unsubscribe"])),
        "event_timestamp": 1746086400000000 + int(random.integers(10**9)),
        "user_pseudo_id": f"k{random.integers(9)}",
        "user_id": None,
        "platform": "WEB",
        "event_params": [{"key": "ga_session_id", "value": {"int_value": 7, "string_value": None}}],
        "items": [{"item_id": "tea", "price": 4.5, "quantity": 1, "location_id": "l"}],
    }
    envelope = {
        "specversion": "1.0",
        "id": "e1",
        "source": "/shop",
        "type": str(random.choice(["com.shop.viewed", "omnireco.event.v1", "com.shop.opt_out"])),
        "time": at,
        "subject": f"u{random.integers(9)}",
        "data": {"item_id": "tea", "event": "click", "channel": "web", "value": 3.5, "session_id": "s", "store_id": 4},
    }
    return call, row, envelope


def spoiled(record, random):
    """Return a record with one value of any depth made odd, removed, or put under another name."""
    record = {name: spoiled(part, random) if type(part) is dict and random.random() < 0.5 else part
              for name, part in record.items()}  # fmt: skip
    name = str(random.choice(list(record)))
    how = random.integers(4)
    if how == 0:
        record.pop(name)
    elif how == 1:
        record[{"userId": "user_id", "item_id": "product_id"}.get(name, f"{name}.x")] = record.pop(name)
    elif type(record[name]) is list and how == 2 and type(record[name][0]) is dict:
        record[name] = [spoiled(record[name][0], random), *record[name][1:]]
    else:
        record[name] = ODD[random.integers(len(ODD))]
    return record


@pytest.mark.parametrize("seed", range(30))
def test_usual_records_are_read_as_the_rules_read_them(seed):
    random = np.random.default_rng(seed)
    kinds = zip(*(usual_records(random) for _ in range(40)), strict=True)
    readers = [
        adapters.segment,
        adapters.ga4,
        lambda some: adapters.cloudevents(some, types={"com.shop.viewed": "view", "com.shop.opt_out": "opt out"}),
    ]
    for some, read in zip(kinds, readers, strict=True):
        records = [spoiled(one, random) if random.random() < 0.7 else one for one in some]
        quick, slow = read(records), read([ByRule(one) for one in records])
        for name in ("events", "messages", "users", "links", "counts"):
            pd.testing.assert_frame_equal(getattr(quick, name), getattr(slow, name))


def test_many_counts_are_the_instants_of_each():
    rows = [{**usual_records(np.random.default_rng(seed))[1], "event_name": "view_item"} for seed in range(1100)]
    quick = adapters.ga4(rows).events
    slow = pd.concat([adapters.ga4(rows[:600]).events, adapters.ga4(rows[600:]).events], ignore_index=True)
    pd.testing.assert_frame_equal(quick, slow)
