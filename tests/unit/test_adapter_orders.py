"""Orders: paid or not, given back whole or in part, and told more than once."""

import csv
import json

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco import adapters
from omnireco.adapters.orders import Refund, returned

WOO = {
    "id": 1,
    "status": "completed",
    "customer_id": 5,
    "date_created_gmt": "2025-05-01T08:00:00",
    "date_modified_gmt": "2025-05-02T08:00:00",
    "line_items": [
        {"id": 11, "product_id": 9, "quantity": 2, "total": "20.00"},
        {"id": 12, "product_id": 8, "quantity": 1, "total": "10.00"},
    ],
}
ONE = WOO | {"line_items": WOO["line_items"][:1]}
SHOP = {
    "id": 1,
    "created_at": "2025-05-01T08:00:00Z",
    "updated_at": "2025-05-02T08:00:00Z",
    "customer": {"id": 7},
    "financial_status": "paid",
    "line_items": [
        {"id": 11, "product_id": 9, "price": "10.00", "quantity": 2},
        {"id": 12, "product_id": 8, "price": "10.00", "quantity": 1},
    ],
}


def net(read):
    assert read.counts["records"].sum() == read.n_records
    return read.events["value"].sum() if "value" in read.events else 0.0


def rows(read):
    return read.events[["event", "item_id", "value"]].fillna("").values.tolist()


# ---- paid or not -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "dress", [str, str.upper, str.title, "wc-{}".format, " {} ".format, lambda text: text.replace("-", "_")]
)
@pytest.mark.parametrize(
    "status", ["pending", "on-hold", "failed", "cancelled", "checkout-draft", "auto-draft", "trash"]
)
def test_woocommerce_orders_that_were_not_paid_are_no_purchases(status, dress):
    read = adapters.woocommerce([WOO | {"status": dress(status)}])
    assert len(read.events) == 0
    assert read.unused[["became", "why"]].values.tolist() == [["ignored", f"status {status}"]]


@pytest.mark.parametrize("status", ["processing", "wc-completed", "Completed", None, "wc-partially-refunded"])
def test_woocommerce_orders_that_were_paid(status):
    assert net(adapters.woocommerce([WOO | {"status": status}])) == 30.0


def test_a_status_of_the_shop_itself_needs_a_date_of_payment():
    read = adapters.woocommerce(
        [WOO | {"status": "wc-shipped"}, WOO | {"id": 2, "status": "shipped", "date_paid": "x"}]
    )
    assert read.events["event"].tolist() == ["purchase"] * 2
    assert read.unused["why"].tolist() == ["status shipped, and no date of payment"]


@pytest.mark.parametrize("status", ["pending", "AUTHORIZED", "voided", "Expired"])
def test_shopify_orders_that_were_not_paid_are_no_purchases(status):
    read = adapters.shopify([SHOP | {"financial_status": status}])
    assert (len(read.events), read.unused["became"].tolist()) == (0, ["ignored"])


@pytest.mark.parametrize(
    "more", [{"cancelled_at": "2025-05-02T08:00:00Z"}, {"test": True}, {"test": "true"}, {"test": np.True_}]
)
def test_test_orders_and_cancelled_ones_are_no_purchases(more):
    read = adapters.shopify([SHOP | more])
    assert (len(read.events), read.unused["became"].tolist()) == (0, ["ignored"])
    assert adapters.shopify([SHOP | {"financial_status": "odd"}]).unused["became"].tolist() == ["unknown"]


@pytest.mark.parametrize("order", [SHOP, WOO])
@pytest.mark.parametrize("lines", [None, [], "[]"])
def test_an_order_without_lines_is_invalid(order, lines):
    read = (adapters.shopify if order is SHOP else adapters.woocommerce)([order | {"line_items": lines}])
    assert (len(read.events), read.unused["why"].tolist()) == (0, ["no line_items"])


def test_a_consent_is_read_from_every_order_whatever_became_of_it():
    def said(state, at):
        return {"customer": {"id": 7, "email_marketing_consent": {"state": state, "consent_updated_at": at}}}

    first = SHOP | said("subscribed", "2025-05-01T08:00:00Z")
    for more in (
        {"financial_status": "voided"},
        {"cancelled_at": "2025-05-03T08:00:00Z"},
        {"test": True},
        {"line_items": []},
    ):
        later = SHOP | {"id": 2} | more | said("unsubscribed", "2025-05-03T08:00:00Z")
        assert adapters.shopify([later, first]).users["consent_email"].tolist() == [False]
    older = SHOP | {"updated_at": "2025-05-01T08:00:00Z"} | said("unsubscribed", "2025-05-03T08:00:00Z")
    assert adapters.shopify([first, older]).users["consent_email"].tolist() == [False]


def test_an_order_that_cannot_be_read_does_not_hide_the_next_one():
    read = adapters.shopify([SHOP | {"id": 2, "customer": "x"}, SHOP | {"updated_at": "2025-05-01T09:00:00Z"}, SHOP])
    assert net(read) == 30.0
    assert sorted(read.unused["why"]) == ["an older state of an order that comes again", "customer cannot be read"]


# ---- given back --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("total", ["-10.00", "10.00", -10, 10.0])
def test_woocommerce_refunds_in_part(total):
    read = adapters.woocommerce([ONE | {"refunds": [{"id": 7, "reason": "", "total": total}]}])
    assert rows(read) == [["purchase", "9", 20.0], ["return", "9", -10.0]]
    assert read.events["timestamp"].iloc[1] == pd.Timestamp("2025-05-02 08:00", tz="UTC")
    many = adapters.woocommerce([WOO | {"refunds": [{"id": 7, "total": total}]}])
    assert rows(many)[2:] == [["return", "", -10.0]]  # nobody says of which item


@pytest.mark.parametrize(
    "refunds",
    [
        [],
        [{"id": 7, "total": "-30.00"}],
        [{"id": 7, "total": "-12"}, {"id": 8, "total": "-18"}],
        [{"id": 7, "total": "-12"}, {"id": 7, "total": "-12"}],
        [{"id": 7, "total": "-99"}],
    ],
)
def test_a_whole_refund_is_counted_once(refunds):
    read = adapters.woocommerce([WOO | {"status": "wc-refunded", "refunds": refunds}])
    assert net(read) == pytest.approx(0.0)
    if sum(float(refund["total"]) for refund in refunds) <= -30:
        whole = adapters.woocommerce([WOO | {"refunds": refunds}])
        assert net(whole) == pytest.approx(0.0)


def test_refunds_of_woocommerce_by_lines_and_less_shipping_and_tax():
    lines = [{"product_id": 9, "quantity": -1, "total": "-10.00"}]
    read = adapters.woocommerce([WOO | {"refunds": [{"id": 7, "amount": "15.00", "line_items": lines}]}])
    assert rows(read)[2:] == [["return", "9", -10.0]]
    taxed = adapters.woocommerce([ONE | {"cart_tax": "4.00", "refunds": [{"id": 7, "total": "-12.00"}]}])
    assert net(taxed) == pytest.approx(10.0)
    shipped = {"id": 7, "total": "-15.00", "line_items": [], "shipping_lines": [{"total": "-5.00"}]}
    assert net(adapters.woocommerce([ONE | {"refunds": [shipped]}])) == 10.0
    alone = {"id": 7, "parent_id": 1, "amount": "10.00", "line_items": lines}
    assert net(adapters.woocommerce([WOO | {"refunds": [{"id": 7, "total": "-10.00"}]}, alone])) == 20.0
    assert adapters.woocommerce([alone]).unused["why"].tolist() == ["its order is not among the records"]
    assert adapters.woocommerce([ONE | {"refunds": [{"id": 7}]}]).unused["became"].tolist() == ["invalid"]


def back(*goods, **more):
    return {
        "id": 3,
        "created_at": "2025-05-03T08:00:00Z",
        "transactions": [],
        "refund_line_items": [{"quantity": n, "line_item_id": line} for line, n in goods],
    } | more


def paid_back(amount, **more):
    return back(transactions=[{"kind": "refund", "status": "success", "amount": amount}], **more)


def test_shopify_refunds_by_lines():
    read = adapters.shopify([SHOP | {"financial_status": "partially_refunded", "refunds": [back((11, 1))]}])
    assert rows(read)[2:] == [["return", "9", -10.0]]
    twice = [back((11, 2)), back((11, 2)), back((11, 2), id=4)]  # one refund told twice, and more than was bought
    assert net(adapters.shopify([SHOP | {"refunds": twice}])) == 10.0
    money = back((11, 1), transactions=[{"kind": "refund", "status": "success", "amount": "10.00"}])
    assert net(adapters.shopify([SHOP | {"refunds": [money]}])) == 20.0  # the money of the lines is not counted again


def test_shopify_refunds_by_amount():
    read = adapters.shopify([SHOP | {"refunds": [paid_back("5.00")]}])
    assert rows(read)[2:] == [["return", "", -5.0]]
    assert rows(adapters.shopify([SHOP | {"refunds": [paid_back("30.00")]}]))[2:] == [
        ["return", "9", -20.0],
        ["return", "8", -10.0],
    ]
    failed = back(transactions=[{"kind": "refund", "status": "failure", "amount": "5.00"}])
    assert net(adapters.shopify([SHOP | {"refunds": [failed]}])) == 30.0
    shipping = paid_back(
        "8.00", order_adjustments=[{"kind": "shipping_refund", "amount": "-7.00", "tax_amount": "-1.00"}]
    )
    assert net(adapters.shopify([SHOP | {"refunds": [shipping]}])) == 30.0
    newer = paid_back("8.00", refund_shipping_lines=[{"subtotal_amount_set": {"shop_money": {"amount": "8.00"}}}])
    assert net(adapters.shopify([SHOP | {"refunds": [newer]}])) == 30.0
    assert net(adapters.shopify([SHOP | {"total_tax": "6.00", "refunds": [paid_back("12.00")]}])) == pytest.approx(20.0)
    assert (
        net(adapters.shopify([SHOP | {"total_tax": "6.00", "taxes_included": True, "refunds": [paid_back("12.00")]}]))
        == 18.0
    )


def test_shopify_refunds_by_status():
    assert net(adapters.shopify([SHOP | {"financial_status": "Refunded"}])) == 0.0
    assert net(
        adapters.shopify([SHOP | {"financial_status": "refunded", "refunds": [paid_back("5.00")]}])
    ) == pytest.approx(0.0)
    assert net(adapters.shopify([SHOP | {"financial_status": "refunded", "refunds": [back((11, 2), (12, 1))]}])) == 0.0
    part = SHOP | {"financial_status": "partially_refunded"}
    assert net(adapters.shopify([part | {"total_price": "30.00", "current_total_price": "25.00"}])) == 25.0
    assert adapters.shopify([part]).unused["why"].tolist() == ["refunded in part, without an amount"]
    unsaid = back()
    del unsaid["transactions"]
    assert adapters.shopify([SHOP | {"refunds": [unsaid]}]).unused["why"].tolist() == [
        "a refund without lines and amount"
    ]


def test_a_webhook_of_a_refund_goes_to_its_order():
    alone = back((11, 1), order_id=1)
    read = adapters.shopify([SHOP, alone])
    assert (net(read), len(read.unused)) == (20.0, 0)
    assert net(adapters.shopify([SHOP | {"refunds": [back((11, 1))]}, alone])) == 20.0
    assert adapters.shopify([alone]).unused["why"].tolist() == ["its order is not among the records"]


def test_what_was_given_back_is_never_more_than_was_bought():
    lines = [("a", 10.0), ("b", 20.0), ("gift", 0.0)]
    for refunds in (
        [Refund("1", None, (("a", 4.0),)), Refund("2", None, (("a", 10.0),)), Refund("3", None, total=15.0)],
        [Refund("1", None, total=29.0), Refund("2", None, (("b", 20.0),))],
        [Refund("1", None, (("gift", 0.0),))],
    ):
        taken = [line for _, back in returned(lines, refunds, whole=Refund("rest", None)) for line in back]
        assert sum(value for _, value in taken) == pytest.approx(-30.0)
        assert [item for item, _ in taken].count("gift") == 1


def test_refunds_without_products_are_worth_what_they_say():
    call = {"type": "track", "userId": "u", "timestamp": "2025-05-01T08:00:00Z", "messageId": "m"}
    calls = [
        call | {"event": "Order Completed", "properties": {"order_id": "o", "revenue": 20}},
        call | {"event": "Order Refunded", "properties": {"order_id": "o", "total": 20}},
    ]
    assert rows(adapters.segment(calls)) == [["purchase", "", 20.0], ["return", "", -20.0]]
    row = {"event_timestamp": 1_611_928_000_000_000, "user_pseudo_id": "u"}
    found = adapters.ga4(
        [
            row | {"event_name": "purchase", "ecommerce": {"transaction_id": "T", "purchase_revenue": 20.0}},
            row | {"event_name": "refund", "ecommerce": {"transaction_id": "T", "refund_value": 20.0}},
        ]
    )
    assert rows(found) == [["purchase", "", 20.0], ["return", "", -20.0]]


# ---- told more than once -----------------------------------------------------------------------------------


def ga4(at, order="T1", event="purchase", **more):
    return {
        "event_name": event,
        "event_timestamp": at,
        "user_pseudo_id": "1.2",
        "platform": "WEB",
        "ecommerce": {"transaction_id": order},
        "items": [{"item_id": "A", "price": 20.0}, {"item_id": "B", "price": 1.0}, {"item_id": "A", "price": 20.0}],
    } | more


def segment(number, at, event="Order Completed", order="O1"):
    products = [{"product_id": "A", "price": 20}, {"product_id": "B", "price": 1}, {"product_id": "A", "price": 20}]
    return {
        "type": "track",
        "event": event,
        "messageId": number,
        "userId": "u",
        "timestamp": at,
        "properties": {"order_id": order, "products": products},
    }


def snowplow(number, at, kind="transaction", order="T1"):
    name = "com_snowplowanalytics_snowplow_ecommerce"
    products = [{"id": "A", "price": 20}, {"id": "B", "price": 1}, {"id": "A", "price": 20}]
    return {
        "event_name": "snowplow_ecommerce_action",
        "event_id": number,
        "derived_tstamp": at,
        "domain_userid": "d",
        f"unstruct_event_{name}_snowplow_ecommerce_action_1": {"type": kind},
        f"contexts_{name}_product_1": products,
        f"contexts_{name}_{kind}_1": [{"transaction_id": order}],
    }


TWICE = {
    "GA4": lambda: adapters.ga4([ga4(1_611_928_000_000_000), ga4(1_611_928_090_000_000)]),
    "GA4 parameter": lambda: adapters.ga4(
        [
            ga4(
                1_611_928_000_000_000 + n,
                None,
                event_params=[{"key": "transaction_id", "value": {"string_value": "T1"}}],
            )
            for n in range(2)
        ]
    ),
    "GA4 refund": lambda: adapters.ga4(
        [ga4(1_611_928_000_000_000, event="refund"), ga4(1_611_928_090_000_000, event="refund")]
    ),
    "Segment": lambda: adapters.segment([segment("m1", "2025-05-01T08:00:00Z"), segment("m2", "2025-05-01T08:02:00Z")]),
    "Segment refund": lambda: adapters.segment(
        [
            segment("m1", "2025-05-01T08:00:00Z", "Order Refunded"),
            segment("m2", "2025-05-01T08:02:00Z", "Order Refunded"),
        ]
    ),
    "Snowplow": lambda: adapters.snowplow([snowplow("1", "2025-05-01 08:00:00"), snowplow("2", "2025-05-01 08:01:00")]),
    "Snowplow refund": lambda: adapters.snowplow(
        [snowplow("1", "2025-05-01 08:00:00", "refund"), snowplow("2", "2025-05-01 08:01:00", "refund")]
    ),
}


@pytest.mark.parametrize("source", TWICE)
def test_an_order_told_twice_is_found_by_the_check(source):
    log = om.EventLog.from_frame(TWICE[source]().events, itemless="keep")
    assert len(log) == 6
    assert log.check().rows("duplicate").size == 3
    assert len(log.deduplicated()) == 3


@pytest.mark.parametrize("order", [None, "", "(not set)", "null", "undefined", "0", np.nan])
def test_what_stands_for_no_order_makes_no_duplicates(order):
    read = adapters.ga4(
        [ga4(at, order, items=[{"item_id": "A"}]) for at in (1_611_928_000_000_000, 1_611_928_090_000_000)]
    )
    assert om.EventLog.from_frame(read.events).check().rows("duplicate").size == 0
    calls = [segment("m1", "2025-05-01T08:00:00Z", order=order), segment("m2", "2025-05-01T08:02:00Z", order=order)]
    assert om.EventLog.from_frame(adapters.segment(calls).events).check().rows("duplicate").size == 0


@pytest.mark.parametrize("sequence", [1, -1])
def test_of_an_order_that_comes_again_the_newest_state_counts(sequence):
    states = [
        SHOP | {"financial_status": "pending", "updated_at": "2025-05-01T08:00:00Z"},
        SHOP,
        SHOP | {"updated_at": "2025-05-04T08:00:00Z", "refunds": [back((12, 1))]},
    ]
    read = adapters.shopify(states[::sequence])
    assert rows(read) == [["purchase", "9", 20.0], ["purchase", "8", 10.0], ["return", "8", -10.0]]
    assert read.unused[["why", "records"]].values.tolist() == [["an older state of an order that comes again", 2]]
    late = [WOO, WOO | {"status": "cancelled", "date_modified_gmt": "2025-05-03T08:00:00"}]
    assert len(adapters.woocommerce(late[::sequence]).events) == 0
    same = [WOO, WOO | {"id": "1"}, WOO | {"id": 1.0}]
    assert net(adapters.woocommerce(same)) == 30.0


@pytest.mark.parametrize(("read", "order"), [(adapters.shopify, SHOP), (adapters.woocommerce, WOO)])
def test_an_order_in_two_files_is_found_by_the_check(read, order):
    both = pd.concat([read([order]).events, read([order]).events], ignore_index=True)
    assert om.EventLog.from_frame(both).check().rows("duplicate").size == 2
    nameless = {name: part for name, part in order.items() if name != "id"}
    assert net(read([nameless, nameless])) == 60.0


# ---- Shopify's GraphQL --------------------------------------------------------------------------------------

NODE = {
    "id": "gid://shopify/Order/1",
    "createdAt": "2025-05-01T08:00:00Z",
    "updatedAt": "2025-05-02T08:00:00Z",
    "displayFinancialStatus": "PARTIALLY_REFUNDED",
    "test": False,
    "cancelledAt": None,
    "customer": {"id": "gid://shopify/Customer/7", "emailMarketingConsent": {"marketingState": "SUBSCRIBED"}},
    "lineItems": {
        "edges": [
            {
                "node": {
                    "id": "gid://shopify/LineItem/11",
                    "quantity": 2,
                    "product": {"id": "gid://shopify/Product/9"},
                    "originalUnitPriceSet": {"shopMoney": {"amount": "10.0"}},
                }
            }
        ]
    },
    "refunds": [
        {
            "id": "gid://shopify/Refund/3",
            "createdAt": "2025-05-03T08:00:00Z",
            "refundLineItems": {"nodes": [{"quantity": 1, "lineItem": {"id": "gid://shopify/LineItem/11"}}]},
        }
    ],
}


def test_orders_of_graphql(tmp_path):
    path = tmp_path / "orders.json"
    path.write_text(json.dumps({"data": {"orders": {"edges": [{"node": NODE}], "pageInfo": {"hasNextPage": False}}}}))
    read = adapters.shopify(path)
    assert rows(read) == [["purchase", "9", 20.0], ["return", "9", -10.0]]
    assert read.users[["user_id", "consent_email"]].values.tolist() == [["7", True]]
    unpaid = adapters.shopify([NODE | {"displayFinancialStatus": "AUTHORIZED"}])
    assert unpaid.unused["why"].tolist() == ["not paid: authorized"]


def test_lines_of_a_bulk_export_go_to_their_orders(tmp_path):
    order = {name: part for name, part in NODE.items() if name not in ("lineItems", "refunds")}
    order["displayFinancialStatus"] = "PAID"
    line = NODE["lineItems"]["edges"][0]["node"] | {"__parentId": NODE["id"]}
    path = tmp_path / "bulk.jsonl"
    path.write_text("\n".join(map(json.dumps, [order, line, line | {"__parentId": "gid://shopify/Order/2"}])))
    read = adapters.shopify(path)
    assert rows(read) == [["purchase", "9", 20.0]]
    assert read.unused["why"].tolist() == ["its order is not among the records"]


# ---- formulas ---------------------------------------------------------------------------------------------------

FORMULAS = [
    "=1+1",
    "+4915112345",
    "-2+3",
    "@SUM(1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "  =1",
    "'=1",
    "''+1",
    "\uff1d1",
    "ann",
    "'ann",
]


def plan_of(ids, item="=cmd|' /C calc'!A0"):
    people = om.Audience.from_frame(pd.DataFrame({"user_id": ids, "timezone": "UTC", "consent_email": True}))
    offers = pd.DataFrame(
        {
            "user_id": ids,
            "item_id": item,
            "channel": "email",
            "value": 1.5,
            "send_at": pd.Timestamp("2025-06-02 12:00", tz="UTC"),
        }
    )
    return om.plan(om.planning.Candidates.from_frame(offers, om.Dataset(audience=people)))


def cells_of(path):
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.reader(lines))


def test_no_text_of_a_csv_is_a_formula_and_every_id_comes_back(tmp_path):
    plan = plan_of(FORMULAS)
    head, *table = cells_of(adapters.to_crm_csv(plan, tmp_path / "plan.csv"))
    ids, items = ([row[head.index(name)] for row in table] for name in ("user_id", "item_id"))
    assert not [cell for cell in ids + items if cell.strip()[0] in "=+-@\uff1d"]
    back = pd.Series(ids).str.replace(r"^'(?=['\s]*[=+\-@\uff1d\t\r\n])", "", regex=True)
    assert sorted(back) == sorted(FORMULAS) == sorted(plan.to_frame()["user_id"])
    assert {row[head.index("value")] for row in table} == {"1.5"}
    kept = cells_of(adapters.to_crm_csv(plan, tmp_path / "kept.csv", formulas="keep"))
    assert sorted(row[0] for row in kept[1:]) == sorted(FORMULAS)


def test_integer_ids_stay_numbers_and_a_choice_is_a_choice(tmp_path):
    plan = plan_of([-1, 2], item=-7)
    head, *table = cells_of(adapters.to_crm_csv(plan, tmp_path / "plan.csv"))
    assert [row[0] for row in table] == ["-1", "2"]
    assert {row[head.index("item_id")] for row in table} == {"-7"}
    with pytest.raises(om.errors.ParameterError, match="formulas must be"):
        adapters.to_crm_csv(plan, tmp_path / "plan.csv", formulas="run")


# ---- marketing flags of older orders, and cancellations --------------------------------------------------------


def shop_order(number, day, customer, **more):
    at = f"2025-05-{day:02d}T08:00:00Z"
    lines = [{"product_id": 9, "price": "10.00", "quantity": 1}]
    order = {"id": number, "created_at": at, "updated_at": at, "financial_status": "paid", "line_items": lines}
    return order | {"customer": {"id": 7, **customer}} | more


SUBSCRIBED = {"email_marketing_consent": {"state": "subscribed", "consent_updated_at": "2025-05-01T08:00:00Z"}}


@pytest.mark.parametrize(
    ("customer", "more", "email"),
    [
        ({"accepts_marketing": False}, {}, False),
        ({"accepts_marketing": "false", "accepts_marketing_updated_at": "2025-05-03T08:00:00Z"}, {}, False),
        ({"accepts_marketing": False, **SUBSCRIBED}, {}, False),
        ({"accepts_marketing": True}, {}, True),
        ({"accepts_marketing": None}, {"buyer_accepts_marketing": False}, False),
        ({}, {"buyer_accepts_marketing": True}, True),
        (SUBSCRIBED, {"buyer_accepts_marketing": False}, True),  # a box at the till does not overrule what is stored
        ({"email_marketing_consent": None}, {"buyer_accepts_marketing": False}, False),
    ],
)
def test_marketing_flags_of_older_orders_are_heard(customer, more, email):
    orders = [shop_order(1, 1, SUBSCRIBED), shop_order(2, 2, customer, **more)]
    for some in (orders, orders[::-1]):
        assert adapters.shopify(some).users[["user_id", "consent_email"]].values.tolist() == [["7", email]]


def test_a_stored_no_is_not_undone_by_an_older_flag():
    stored = {"email_marketing_consent": {"state": "unsubscribed", "consent_updated_at": "2025-05-01T08:00:00Z"}}
    read = adapters.shopify([shop_order(1, 2, stored | {"accepts_marketing": True}, buyer_accepts_marketing=True)])
    assert read.users["consent_email"].tolist() == [False]


@pytest.mark.parametrize("event", ["Order Cancelled", "Order Refunded", "Chargeback Received"])
def test_what_takes_an_order_back_is_negative(event):
    def call(name, day):
        properties = {"order_id": "O", "products": [{"product_id": "tea", "price": 4, "quantity": 2}]}
        at = f"2025-05-{day:02d}T08:00:00Z"
        return {"type": "track", "event": name, "userId": "u", "timestamp": at, "properties": properties}

    calls = [call("Order Completed", 1), call(event, 2), call(event, 3)]
    read = adapters.segment(calls, events={"Chargeback Received": "chargeback"})
    assert read.events["value"].tolist() == [8.0, -8.0, -8.0]
    assert om.EventLog.from_frame(read.events).deduplicated().value.sum() == 0
