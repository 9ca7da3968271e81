"""What was released stays: the contract may only grow.

At a release: `python tests/wire/test_wire_compatibility.py > tests/wire/released/edge_link.txt`.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    EnumValueDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field

from dercp.wire.v1 import edge_link_pb2

RELEASED = Path(__file__).parent / "released" / "edge_link.txt"

Facts = Mapping[str, str]


def facts_of(file: FileDescriptorProto) -> Facts:
    """All that a peer may rely on, by name: `Hello.agent_id` is `1 string`."""
    return dict(sorted(_facts(file)))


def breaches(released: Facts, current: Facts) -> list[str]:
    """What was promised and no longer holds, a sentence each."""
    return [
        _breach(name, promised, current.get(name))
        for name, promised in released.items()
        if current.get(name) != promised
    ]


def _facts(file: FileDescriptorProto) -> Iterator[tuple[str, str]]:
    yield "package", file.package
    for enum in file.enum_type:
        yield enum.name, "enum"
        for value in enum.value:
            yield f"{enum.name}.{value.name}", str(value.number)
    for message in file.message_type:
        yield message.name, "message"
        for field in message.field:
            yield f"{message.name}.{field.name}", f"{field.number} {_type_of(field, message)}"
    for service in file.service:
        yield service.name, "service"
        for method in service.method:
            asks = "stream " * method.client_streaming + method.input_type
            answers = "stream " * method.server_streaming + method.output_type
            yield f"{service.name}.{method.name}", f"{asks} -> {answers}"


def _type_of(field: Field, message: DescriptorProto) -> str:
    words = [field.type_name or Field.Type.Name(field.type)[len("TYPE_") :].lower()]
    if field.label == Field.LABEL_REPEATED:
        words.insert(0, "repeated")
    elif field.proto3_optional:
        words.insert(0, "optional")
    elif field.HasField("oneof_index"):
        words.append(f"in {message.oneof_decl[field.oneof_index].name}")
    return " ".join(words)


def _breach(name: str, promised: str, current: str | None) -> str:
    if current is None:
        return f"{name} ({promised}) was removed or renamed: keep it, and mark it deprecated"
    number, _, kind = promised.partition(" ")
    number_now, _, kind_now = current.partition(" ")
    if number.isdecimal() and number != number_now and kind == kind_now:
        return f"{name} was renumbered from {number} to {number_now}: keep {number}"
    return f"{name} was changed from `{promised}` to `{current}`: add another beside it"


def current_file() -> FileDescriptorProto:
    """The contract as it is now."""
    file = FileDescriptorProto()
    edge_link_pb2.DESCRIPTOR.CopyToProto(file)
    return file


def read(text: str) -> Facts:
    """The facts in a released file: a name and what it is, one in a line."""
    return dict(line.split(" = ") for line in text.splitlines())


def written(facts: Facts) -> str:
    """The text of a released file."""
    return "".join(f"{name} = {fact}\n" for name, fact in facts.items())


def test_nothing_that_was_released_has_changed() -> None:
    """An edge of the last release and a headend of today understand each other."""
    assert breaches(read(RELEASED.read_text()), facts_of(current_file())) == []


def test_a_released_file_reads_as_it_was_written() -> None:
    """No promise is lost between releases."""
    facts = facts_of(current_file())
    assert read(written(facts)) == facts


def message_in(file: FileDescriptorProto, name: str) -> DescriptorProto:
    """A message of the file, to be doctored."""
    (found,) = (message for message in file.message_type if message.name == name)
    return found


def field_in(file: FileDescriptorProto, message: str, name: str) -> Field:
    """A field of the file, to be doctored."""
    (found,) = (field for field in message_in(file, message).field if field.name == name)
    return found


def lane_in(file: FileDescriptorProto) -> EnumDescriptorProto:
    """The enum Lane of the file, to be doctored."""
    (found,) = (enum for enum in file.enum_type if enum.name == "Lane")
    return found


Doctor = Callable[[FileDescriptorProto], object]


@pytest.mark.parametrize(
    "doctor",
    [
        pytest.param(lambda _: None, id="nothing"),
        pytest.param(lambda f: message_in(f, "Hello").field.add(name="x", number=99), id="field"),
        pytest.param(lambda f: f.message_type.add(name="Greeting"), id="message"),
        pytest.param(lambda f: lane_in(f).value.add(name="LANE_FAST", number=9), id="enum value"),
        pytest.param(lambda f: f.service[0].method.add(name="Ping"), id="method"),
    ],
)
def test_what_is_added_breaks_nothing(doctor: Doctor) -> None:
    """The contract may grow."""
    file = current_file()
    doctor(file)
    assert breaches(facts_of(current_file()), facts_of(file)) == []


@pytest.mark.parametrize(
    ("doctor", "sentence"),
    [
        (
            lambda f: message_in(f, "Hello").field.remove(field_in(f, "Hello", "spool_id")),
            "Hello.spool_id (3 string) was removed or renamed: ",
        ),
        (
            lambda f: field_in(f, "Hello", "agent_id").MergeFrom(Field(name="edge_id")),
            "Hello.agent_id (1 string) was removed or renamed: ",
        ),
        (
            lambda f: field_in(f, "Hello", "spool_id").MergeFrom(Field(number=98)),
            "Hello.spool_id was renumbered from 3 to 98: ",
        ),
        (
            lambda f: field_in(f, "Hello", "spool_id").MergeFrom(Field(type=Field.TYPE_BYTES)),
            "Hello.spool_id was changed from `3 string` to `3 bytes`: ",
        ),
        (
            lambda f: field_in(f, "Hello", "spool_id").MergeFrom(Field(label=Field.LABEL_REPEATED)),
            "Hello.spool_id was changed from `3 string` to `3 repeated string`: ",
        ),
        (
            lambda f: field_in(f, "Dispatch", "site_id").ClearField("oneof_index"),
            "Dispatch.site_id was changed from `4 string in target` to `4 string`: ",
        ),
        (
            lambda f: field_in(f, "GapReport", "sequences").MergeFrom(Field(type_name=".x.Y")),
            "GapReport.sequences was changed from `2 .dercp.v1.SequenceRange` to `2 .x.Y`: ",
        ),
        (
            lambda f: field_in(f, "Drain", "reason").MergeFrom(Field(proto3_optional=True)),
            "Drain.reason was changed from `2 string` to `2 optional string`: ",
        ),
        (
            lambda f: f.message_type.remove(message_in(f, "Drain")),
            "Drain (message) was removed or renamed: ",
        ),
        (
            lambda f: lane_in(f).value.pop(),
            "Lane.LANE_BACKLOG (1) was removed or renamed: ",
        ),
        (
            lambda f: lane_in(f).value[1].MergeFrom(EnumValueDescriptorProto(number=7)),
            "Lane.LANE_BACKLOG was renumbered from 1 to 7: ",
        ),
        (
            lambda f: f.service[0].method.pop(),
            "EdgeLink.Connect (stream .dercp.v1.Uplink -> stream .dercp.v1.Downlink) was removed",
        ),
        (
            lambda f: f.service[0].method[0].ClearField("client_streaming"),
            "EdgeLink.Connect was changed from `stream .dercp.v1.Uplink -> ",
        ),
        (
            lambda f: f.MergeFrom(FileDescriptorProto(package="dercp.v2")),
            "package was changed from `dercp.v1` to `dercp.v2`: ",
        ),
    ],
)
def test_a_breach_is_named(doctor: Doctor, sentence: str) -> None:
    """The sentence says which promise is broken, and how."""
    file = current_file()
    doctor(file)
    assert breaches(facts_of(current_file()), facts_of(file))[0].startswith(sentence)


if __name__ == "__main__":
    print(written(facts_of(current_file())), end="")  # noqa: T201 - the release's file
