"""Live: one person at a time, with what they did a second ago, safe to store and to share."""

from omnireco._moved import explain_unknown_names
from omnireco.live.answers import Answer, Resumed, State, Touch
from omnireco.live.drift import Profile, drift, profile
from omnireco.live.live import Live
from omnireco.live.privacy import Receipt, pseudonymise
from omnireco.live.redis_store import RedisStore
from omnireco.live.refresh import refitted, updated
from omnireco.live.rules import Rules
from omnireco.live.snapshot import Snapshot
from omnireco.live.sqlite_store import SQLiteStore
from omnireco.live.store import MemoryStore, Row, Store

__all__ = [
    "Answer",
    "Live",
    "MemoryStore",
    "Profile",
    "Receipt",
    "RedisStore",
    "Resumed",
    "Row",
    "Rules",
    "SQLiteStore",
    "Snapshot",
    "State",
    "Store",
    "Touch",
    "drift",
    "profile",
    "pseudonymise",
    "refitted",
    "updated",
]

explain_unknown_names(__name__)
