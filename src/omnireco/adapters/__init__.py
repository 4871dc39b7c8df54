"""Conventions of other tools, read into frames for ``from_frame``, and plans written for other tools.

Each reader takes records (a list of dicts, a JSON-lines or JSON file, or a frame) and returns an :class:`Adapted`:
frames of events, messages, users and links, and what became of **every** record, so that nothing is dropped silently.

>>> from omnireco import adapters
>>> read = adapters.segment([
...     {"type": "track", "event": "Product Viewed", "messageId": "m1", "userId": "ann", "channel": "browser",
...      "timestamp": "2025-05-01T08:00:00Z", "properties": {"product_id": "tea", "price": 4.5}},
...     {"type": "track", "event": "Cat Petted", "messageId": "m2", "userId": "ann",
...      "timestamp": "2025-05-01T08:01:00Z"},
... ])
>>> read
Adapted(2 records: 1 event, 0 messages, 0 users, 0 links; 1 record not used)
>>> read.unused["record"].tolist()
['Cat Petted']
"""

from omnireco._moved import explain_unknown_names
from omnireco.adapters.cloudevents import cloudevents
from omnireco.adapters.ga4 import ga4
from omnireco.adapters.machines import machine_responses
from omnireco.adapters.outbound import to_cloudevents, to_crm_csv, to_send_minutes
from omnireco.adapters.platforms.adobe import adobe_xdm
from omnireco.adapters.platforms.braze import braze
from omnireco.adapters.platforms.klaviyo import klaviyo
from omnireco.adapters.platforms.opentelemetry import opentelemetry
from omnireco.adapters.platforms.rees46 import rees46_messages
from omnireco.adapters.records import Adapted, hashed_email
from omnireco.adapters.segment import segment
from omnireco.adapters.shops import shopify, woocommerce
from omnireco.adapters.snowplow import snowplow

__all__ = [
    "Adapted",
    "adobe_xdm",
    "braze",
    "cloudevents",
    "ga4",
    "hashed_email",
    "klaviyo",
    "machine_responses",
    "opentelemetry",
    "rees46_messages",
    "segment",
    "shopify",
    "snowplow",
    "to_cloudevents",
    "to_crm_csv",
    "to_send_minutes",
    "woocommerce",
]

explain_unknown_names(__name__)
