"""Logs: JSON for machines, lines for people."""

import io
import json
import logging

import pytest
import structlog

from dercp.cli.logs import configure_logs

pytestmark = pytest.mark.usefixtures("_logs_as_before")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def failure() -> Exception:
    """An error with a traceback."""
    secret = "swordfish"  # noqa: F841, S105 - a local that a traceback must not show
    try:
        raise ValueError("broken")
    except ValueError as error:
        return error


def test_elsewhere_a_log_line_is_one_json_object() -> None:
    """When, how bad and what come first; library logs have the same shape."""
    stream = io.StringIO()
    configure_logs(logging.INFO, stream)
    structlog.get_logger().info("session_live", agent_id="north")
    structlog.get_logger().debug("unseen")
    logging.getLogger("hpack").warning("odd %s", "frame")
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert list(first) == ["timestamp", "level", "event", "agent_id"]
    assert (first["level"], first["event"]) == ("info", "session_live")
    assert (second["level"], second["event"]) == ("warning", "odd frame")


def test_a_traceback_stays_on_its_line_without_local_variables() -> None:
    """Locals may be large, and secret."""
    stream = io.StringIO()
    configure_logs(logging.INFO, stream)
    structlog.get_logger().error("actor_crashed", exc_info=failure())
    (line,) = stream.getvalue().splitlines()
    assert "broken" in line
    assert "swordfish" not in line


def test_on_a_terminal_a_log_line_is_read_by_people(monkeypatch: pytest.MonkeyPatch) -> None:
    """Coloured, unless NO_COLOR or a dumb terminal say otherwise; no local variables."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    configure_logs(logging.INFO, stream)
    structlog.get_logger().error("actor_crashed", path="a/b", exc_info=failure())
    assert "\x1b[" in stream.getvalue()
    assert "ValueError: broken" in stream.getvalue()
    assert "swordfish" not in stream.getvalue()


@pytest.mark.parametrize(("name", "content"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch, name: str, content: str) -> None:
    """Not one escape sequence."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv(name, content)
    stream = Terminal()
    configure_logs(logging.INFO, stream)
    structlog.get_logger().warning("flapping", agent_id="north")
    assert "flapping" in stream.getvalue()
    assert "\x1b[" not in stream.getvalue()
