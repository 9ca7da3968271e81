"""Reads a TOML file into typed tables, and says what is wrong with it in sentences.

msgspec stops at the first fault; whoever mends a file wants to hear of all of them.
So the document is walked along the types first, and converted when nothing was found.
"""

import difflib
import re
import tomllib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeAlias, TypeVar

import msgspec
from msgspec import inspect

__all__ = ["ConfigError", "Fault", "convert", "key_path", "nearest", "read_document"]

# 10,000 assets with their options take about 5 MB.
FILE_BYTES_MAX = 32 * 1024 * 1024
FAULTS_MAX = 100
SHOWN_CHARS_MAX = 40

# What TOML can hold; dates are neither asked for nor told apart here.
TomlValue: TypeAlias = "str | int | float | bool | object | list[TomlValue] | Table"
Table: TypeAlias = "dict[str, TomlValue]"

T = TypeVar("T")

# What a TOML value must be to be meant as a type, and what a reader calls that.
_SHAPES: dict[type[inspect.Type], tuple[tuple[type, ...], str]] = {
    inspect.FloatType: ((int, float), "a number"),
    inspect.IntType: ((int,), "a whole number"),
    inspect.StrType: ((str,), "a text in quotes"),
    inspect.LiteralType: ((str,), "a word"),
    inspect.EnumType: ((str,), "a word"),
    inspect.BoolType: ((bool,), "true or false"),
    inspect.ListType: ((list,), "a list"),
    inspect.VarTupleType: ((list,), "a list"),
    inspect.DictType: ((dict,), "a table"),
    inspect.StructType: ((dict,), "a table"),
    inspect.NoneType: ((), "nothing"),  # TOML has no null
}
_ANYTHING: tuple[tuple[type, ...], str] = ((object, bool), "another value")


class Fault(msgspec.Struct, frozen=True):
    """One thing to mend. `path` is empty where the whole file is meant."""

    path: str
    text: str

    def __str__(self) -> str:
        """The sentence without the file's name."""
        return f"{self.path}: {self.text}" if self.path else self.text


class ConfigError(Exception):
    """A file that cannot be used, with everything found wrong in it."""

    def __init__(self, file: Path, faults: Sequence[Fault]) -> None:
        self.file = file
        self.faults = tuple(faults)
        super().__init__("\n".join(self.sentences))

    @property
    def sentences(self) -> tuple[str, ...]:
        """One sentence per fault, each beginning with the file's name."""
        return tuple(f"{self.file.name}: {fault}" for fault in self.faults)


def read_document(file: Path) -> Table:
    """Parse a TOML file.

    Raises:
        ConfigError: It cannot be read, or is no TOML.
    """
    try:
        with file.open("rb") as stream:
            content = stream.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        raise ConfigError(file, [Fault("", f"no such file ({file.absolute()})")]) from None
    except OSError as error:
        raise ConfigError(file, [Fault("", f"cannot be read: {error.strerror}")]) from None
    if len(content) > FILE_BYTES_MAX:
        raise ConfigError(file, [Fault("", f"is larger than {FILE_BYTES_MAX} bytes")])
    try:
        # utf-8-sig: Windows editors put a byte order mark in front.
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(file, [Fault(f"line {line}", "is not UTF-8 text")]) from None
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ConfigError(file, [Fault("", "tables or lists are nested too deeply")]) from None
    except ValueError as error:  # TOMLDecodeError, or an integer of thousands of digits
        raise ConfigError(file, [_syntax_fault(text, str(error))]) from None


def convert(value: TomlValue, into: type[T], path: str, faults: list[Fault]) -> T | None:
    """The value at `path` as an `into`; or None, with what keeps it from being one in `faults`."""
    found = list(islice(_walk(value, inspect.type_info(into), path), FAULTS_MAX))
    faults += found
    if found:
        return None
    try:
        return msgspec.convert(value, into)
    except msgspec.ValidationError as error:  # limits of a value, and types seen seldom
        text, _, where = str(error).partition(" - at `$")
        faults.append(Fault(path + where.rstrip("`"), _lower_first(text.replace("`", ""))))
        return None


def key_path(path: str, key: str) -> str:
    """The path of a key within a table."""
    name = key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _shown(key)
    return f"{path}.{name}" if path else name


def nearest(word: str, known: Sequence[str]) -> str:
    """` (did you mean "address"?)`, or nothing when no known word resembles this one."""
    matches = difflib.get_close_matches(word, known, n=1)
    return f' (did you mean "{matches[0]}"?)' if matches else ""


def _walk(value: TomlValue, kind: inspect.Type, path: str) -> Iterator[Fault]:
    if not _has_shape(value, kind):
        yield Fault(path, _expectation(value, kind) + _mend(value, kind))
        return
    match kind, value:
        case inspect.StructType(), dict():
            yield from _walk_table(value, kind, path)
        case inspect.DictType(), dict():
            for key, item in value.items():
                yield from _walk(item, kind.value_type, key_path(path, key))
        case ((inspect.ListType() | inspect.VarTupleType()), list()):
            for index, item in enumerate(value):
                yield from _walk(item, kind.item_type, f"{path}[{index}]")
        case inspect.UnionType(), _:
            fitting = next(member for member in kind.types if _has_shape(value, member))
            yield from _walk(value, fitting, path)
        case ((inspect.LiteralType() | inspect.EnumType()), str()) if value not in _words(kind):
            yield Fault(path, _expectation(value, kind) + nearest(value, _words(kind)))


def _walk_table(table: Table, kind: inspect.StructType, path: str) -> Iterator[Fault]:
    fields = {field.encode_name: field for field in kind.fields}
    for key in table:
        if key not in fields:
            yield Fault(key_path(path, key), f"unknown key{nearest(key, list(fields))}")
    for key, field in fields.items():
        if key in table:
            yield from _walk(table[key], field.type, key_path(path, key))
        elif field.required:
            yield Fault(key_path(path, key), f"missing (expected {_name(field.type)})")


def _has_shape(value: TomlValue, kind: inspect.Type) -> bool:
    """Whether a value can be meant as this type; its limits are judged elsewhere."""
    if isinstance(kind, inspect.UnionType):
        return any(_has_shape(value, member) for member in kind.types)
    shapes, _ = _SHAPES.get(type(kind), _ANYTHING)
    # To Python, true is the number 1.
    return isinstance(value, shapes) and (bool in shapes or not isinstance(value, bool))


def _expectation(value: TomlValue, kind: inspect.Type) -> str:
    return f"expected {_name(kind)}, got {_shown(value)}"


def _mend(value: TomlValue, kind: inspect.Type) -> str:
    """What most likely was meant, as an instruction; empty when nothing comes to mind."""
    match kind, value:
        case inspect.UnionType(), _:
            return next(filter(None, (_mend(value, member) for member in kind.types)), "")
        case ((inspect.FloatType() | inspect.IntType()), str()):
            if re.fullmatch(r"\s*[+-]?\d+,\d+\s*", value):
                return " (use a point as decimal mark)"
            if re.fullmatch(r"\s*[+-]?\d+(\.\d+)?\s*", value):
                return " (remove the quotes)"
        case inspect.StrType(), int() | float():
            return " (put it in quotes)"
        case inspect.BoolType(), str() if value.lower() in {"true", "false"}:
            return " (remove the quotes)"
    return ""


def _name(kind: inspect.Type) -> str:
    """What a reader calls this type."""
    *rest, last = dict.fromkeys(_names(kind))
    return f"{', '.join(rest)} or {last}" if rest else last


def _names(kind: inspect.Type) -> list[str]:
    match kind:
        case inspect.UnionType():
            members = [m for m in kind.types if not isinstance(m, inspect.NoneType)]
            return [name for member in members for name in _names(member)]
        case inspect.LiteralType() | inspect.EnumType():
            return [_shown(word) for word in _words(kind)]
        case inspect.StructType() if any(field.required for field in kind.fields):
            required = [f"{field.encode_name} = …" for field in kind.fields if field.required]
            return [f"{{ {', '.join(required)} }}"]
        case _:
            _, name = _SHAPES.get(type(kind), _ANYTHING)
            return [name]


def _words(kind: inspect.LiteralType | inspect.EnumType) -> list[str]:
    if isinstance(kind, inspect.EnumType):
        return [str(member.value) for member in kind.cls]
    return [str(word) for word in kind.values]


def _shown(value: TomlValue) -> str:
    match value:
        case str():
            cut = value if len(value) <= SHOWN_CHARS_MAX else value[:SHOWN_CHARS_MAX] + "…"
            return msgspec.json.encode(cut).decode()
        case bool():
            return str(value).lower()
        case int() | float():
            # An integer may have more digits than Python agrees to print.
            huge = isinstance(value, int) and value.bit_length() > 64
            return "a huge number" if huge else f"{value:.12g}"
        case dict():
            return "a table"
        case list():
            return "a list"
        case _:
            return "a date or time"


def _syntax_fault(text: str, message: str) -> Fault:
    found = re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", message, re.DOTALL)
    if found is None:
        return Fault("", _lower_first(message))
    what, line, column = found[1], int(found[2]), int(found[3])
    written = text.splitlines()[line - 1] if line <= len(text.splitlines()) else ""
    comma = re.match(r"\d,\d", written[max(0, column - 2) :])
    hint = " (use a point as decimal mark)" if comma else ""
    return Fault(f"line {line}, column {column}", f"{_lower_first(what)}{hint}")


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]
