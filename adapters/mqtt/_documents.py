"""What a JSON message says: values by pointer, times, qualities. All of it may be nonsense."""

import re
from typing import Final

import msgspec

from dercp.model.quality import Quality
from dercp.model.time import TimeError, parse_rfc3339

__all__ = ["NOTHING", "Nothing", "Pointer", "document_of", "quality_of", "time_us_of"]

_GOOD_WORDS: Final = frozenset({"good", "ok", "valid"})
_UNCERTAIN_WORDS: Final = frozenset({"uncertain", "questionable"})
# Of OPC classic, which Sparkplug and many gateways number by: 192 and above, 64 and above.
_GOOD_FROM: Final = 192
_UNCERTAIN_FROM: Final = 64
# Between them lie the years 2001 to 5138, in each of the three.
_SECONDS: Final = (1e9, 1e11, 1e6)
_MILLISECONDS: Final = (1e12, 1e14, 1e3)
_MICROSECONDS: Final = (1e15, 1e17, 1.0)


_INDEX: Final = re.compile("[0-9]{1,9}")


class Nothing:
    """Stands for what is not there; JSON's null is a value of its own."""


NOTHING: Final = Nothing()


class Pointer(msgspec.Struct, frozen=True):
    """A place in a document: the keys that lead there (RFC 6901)."""

    keys: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> "Pointer":
        """Read a pointer ("/meter/0/kw"), a single key ("kw"), or "" for the whole document.

        Raises:
            ValueError: It has a "~" that means nothing.
        """
        if not text.startswith("/"):
            return cls((text,) if text else ())
        keys = text[1:].split("/")
        if any("~" in key.replace("~0", "").replace("~1", "") for key in keys):
            raise ValueError(f'"{text}": a "~" in a JSON pointer is written "~0"')
        return cls(tuple(key.replace("~1", "/").replace("~0", "~") for key in keys))

    def look_up(self, document: object) -> object:
        """What stands there, or `NOTHING`."""
        for key in self.keys:
            match document:
                case dict() if key in document:
                    document = document[key]
                case list() if _INDEX.fullmatch(key) and int(key) < len(document):
                    document = document[int(key)]
                case _:
                    return NOTHING
        return document


def document_of(payload: bytes) -> object:
    """The message as JSON; as plain text, where it is none; `NOTHING`, where it is neither."""
    try:
        return msgspec.json.decode(payload)
    except (msgspec.DecodeError, RecursionError):
        try:
            return payload.decode("utf-8")
        except UnicodeDecodeError:
            return NOTHING


def time_us_of(raw: object) -> int | None:
    """An instant in Unix microseconds, or None for what is none."""
    match raw:
        case bool():
            return None
        case int() | float():
            for low, high, factor in (_SECONDS, _MILLISECONDS, _MICROSECONDS):
                if low <= raw < high:
                    return round(raw * factor)
        case str():
            try:
                return parse_rfc3339(raw)
            except TimeError:
                return None
    return None


def quality_of(raw: object) -> Quality:
    """What a device says of its value; what nobody understands is uncertain."""
    match raw:
        case bool():
            return Quality.GOOD if raw else Quality.BAD
        case int() | float():
            if raw >= _GOOD_FROM:
                return Quality.GOOD
            return Quality.UNCERTAIN if raw >= _UNCERTAIN_FROM else Quality.BAD
        case str():
            word = raw.lower()
            if word in _GOOD_WORDS:
                return Quality.GOOD
            return Quality.UNCERTAIN if word in _UNCERTAIN_WORDS else Quality.BAD
        case _:
            return Quality.UNCERTAIN
