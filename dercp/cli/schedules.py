"""`dercp schedule`: a file becomes a schedule (TOML with all of it, CSV with its blocks)."""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

import msgspec
from rich.console import Console

from dercp.cli.client import ApiClient, Unanswered, read
from dercp.cli.desk_tables import blocks_table
from dercp.cli.exits import CommandError, Exit
from dercp.cli.output import wants_json, write_json
from dercp.cli.shapes import Schedule

COLUMNS: Final = ("start", "until", "setpoint_mw")
FILE_BYTES_MAX: Final = 1024 * 1024

Body = dict[str, object]


def read_schedule(file: Path) -> Body:
    """The body of POST /schedules that a file stands for; what it means the headend judges.

    Raises:
        CommandError: It cannot be read, and where.
    """
    try:
        content = file.read_bytes()[: FILE_BYTES_MAX + 1]
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CommandError(f"{file}: {reason}", code=Exit.CONFIG) from None
    if len(content) > FILE_BYTES_MAX:
        raise _wrong(file, f"more than {FILE_BYTES_MAX:,} bytes")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _wrong(file, f"byte {error.start} is not UTF-8") from None
    if file.suffix == ".toml":
        return _of_toml(file, text)
    if file.suffix == ".csv":
        return {"blocks": list(_of_csv(file, text))}
    raise _wrong(file, "expected a name that ends in .toml or .csv")


def _of_toml(file: Path, text: str) -> Body:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _wrong(file, str(error)) from None


def _of_csv(file: Path, text: str) -> Iterator[Body]:
    reader = csv.DictReader(text.splitlines())
    if tuple(reader.fieldnames or ()) != COLUMNS:
        raise _wrong(file, f"line 1: expected the header {','.join(COLUMNS)}")
    for row in reader:
        if len(row) != len(COLUMNS) or None in row.values():
            raise _wrong(file, f"line {reader.line_num}: expected {len(COLUMNS)} values")
        try:
            setpoint_mw = float(row["setpoint_mw"])
        except ValueError:
            mend = "a number of MW, with a point as decimal mark"
            got = row["setpoint_mw"]
            raise _wrong(
                file, f'line {reader.line_num}: setpoint_mw: expected {mend}, got "{got}"'
            ) from None
        yield {"start": row["start"], "until": row["until"], "setpoint_mw": setpoint_mw}


def _wrong(file: Path, sentence: str) -> CommandError:
    return CommandError(f"{file}: {sentence}", code=Exit.CONFIG)


class ScheduleDesk:
    """Hands in, finds and ends schedules."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    def submit(self, body: Body, key: str) -> msgspec.Raw:
        """Hand one in.

        Raises:
            CommandError: It was refused, or nobody knows.
        """
        try:
            return self._client.post("/schedules", body, {"Idempotency-Key": key})
        except Unanswered as error:
            raise CommandError(
                f"{error}; whether the schedule was taken is not known",
                f"repeat the command with --key {key}: it never dispatches twice",
                code=Exit.UNAVAILABLE,
            ) from None

    def find(self, schedule_id: str) -> msgspec.Raw:
        """How one stands."""
        return self._client.get(f"/schedules/{quote(schedule_id, safe='')}", msgspec.Raw)

    def cancel(self, schedule_id: str, reason: str | None) -> msgspec.Raw:
        """End what is open of it."""
        path = f"/schedules/{quote(schedule_id, safe='')}/cancel"
        return self._client.post(path, {} if reason is None else {"reason": reason}, {})

    def show(self, answer: msgspec.Raw, *, json: bool) -> None:
        """A table for people, the answer for programs."""
        console = Console(highlight=False, markup=False)
        if wants_json(asked=json, console=console):
            write_json(answer)
            return
        schedule = read(answer, Schedule)
        console.print(f"schedule {schedule.id}: {schedule.target.name}")
        console.print(blocks_table(schedule.blocks, width=console.width))
