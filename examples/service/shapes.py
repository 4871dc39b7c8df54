"""What goes in and out of the service, checked where it comes in; the OpenAPI description is made of it."""

import datetime as dt
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationError,
    WrapValidator,
    model_validator,
)
from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

AHEAD = dt.timedelta(minutes=5)  # how far a sender's clock may be before ours

MOST_EVENTS, MOST_ITEMS = 10_000, 1_000


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def instant(text: str) -> dt.datetime:
    """Return an instant that has been, with its offset; what was sent is not repeated."""
    try:
        at = dt.datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("must be ISO 8601 with an offset, such as 2026-01-31T18:00:00Z") from None
    if at.tzinfo is None:
        raise ValueError("has no time zone: add an offset, such as Z or +02:00")
    if at > now() + AHEAD:
        raise ValueError("lies more than 5 minutes in the future: send what has happened, and look at your clock")
    return at


def named(value: Any, check: Any) -> int | str:
    """Return an id, or say what one is in place of why it is neither of the two."""
    try:
        return check(value)
    except ValidationError:
        raise ValueError("must be an id: an integer of 64 bits or a text of 1 to 512 characters") from None


Whole = Annotated[StrictInt, Field(ge=-(1 << 63), lt=1 << 63)]
Id = Annotated[Whole | Annotated[StrictStr, Field(min_length=1, max_length=512)], WrapValidator(named)]
Name = Annotated[StrictStr, Field(min_length=1, max_length=512)]
Count = Annotated[StrictInt, Field(ge=1, le=MOST_ITEMS)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
When = Annotated[
    StrictStr,
    AfterValidator(instant),
    Field(description="ISO 8601 with an offset; now by default", json_schema_extra={"format": "date-time"}),
]
EventId = Annotated[Name, Field(description="Sent again with the same event_id and timestamp, an event counts once")]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")

    def told(self) -> dict[str, Any]:
        """Return what was said, without what was not."""
        return {name: value for name, value in self.__dict__.items() if value is not None}


class Happened(Body):
    timestamp: When | None = None
    event_id: EventId | None = None

    @model_validator(mode="after")
    def at_one_time(self):
        if self.event_id is not None and self.timestamp is None:
            raise ValueError("an event_id needs a timestamp: without one, the next try would be another event")
        return self


class Event(Happened):
    user_id: Id
    event: Name
    channel: Name
    item_id: Id | None = None
    value: Number | None = None
    consent: StrictBool | None = None
    purpose: Name | None = None
    refers_to: Name | None = None


class Consent(Happened):
    user_id: Id
    channel: Name
    consent: StrictBool
    purpose: Name | None = Field(None, description="Messages on the channel, where none is given")


class Click(Body):
    event: Name
    channel: Name
    item_id: Id


class Who(Body):
    user_id: Id


class Ask(Who):
    n: Count = 10
    channel: Name | None = None
    given: list[Id] = Field([], max_length=MOST_ITEMS, description="What lies in the basket")
    exclude: list[Id] = Field([], max_length=MOST_ITEMS)


class Visit(Body):
    clicks: list[Click] = Field(max_length=MOST_ITEMS, description="The oldest first")
    n: Count = 10


class AskTouch(Who):
    channel: Name | None = None


class Why(Who):
    items: list[Id] = Field(max_length=100)


Events = Annotated[list[Event], Field(max_length=MOST_EVENTS)]


# Answers are plain dicts: the quick verbs write them as they are -----------------------------------------------------


class Accepted(TypedDict):
    accepted: int
    new: int


class Item(TypedDict):
    id: int | str
    score: float


class Items(TypedDict):
    items: list[Item]
    cold: bool
    at: dt.datetime
    known_until: Annotated[dt.datetime | None, Field(description="End of the data behind the models that answered")]


class Touch(BaseModel):
    item_id: int | str
    channel: str
    send_at: dt.datetime
    probability: float


class Begun(BaseModel):
    item_id: int | str
    channel: str
    begun_at: dt.datetime
    last_at: dt.datetime
    position: float | None = None


class Reason(BaseModel):
    item_id: int | str
    because_item_id: int | str
    channel: str
    adds: float = Field(description="What it adds to the score of the item")


class Erased(BaseModel):
    people: int
    events: int
    awaits: list[str] = Field(description="What was learned from them and awaits the next fit")


class Ready(BaseModel):
    ready: bool
    worker: int
    known_until: dt.datetime | None = None
