"""A real MQTT broker for tests: mosquitto where it is installed, else the one of `amqtt`.

Either is a process of its own on a port of the loopback, which it keeps when it is started again.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import msgspec

START_TIMEOUT_S = 20.0
_PROBE_EVERY_S = 0.02
_SYSTEM_PROGRAMS = "/usr/local/sbin:/usr/sbin"


class BrokerMissing(Exception):
    """There is no broker to be had here; the text says why."""


class Lock(msgspec.Struct, frozen=True):
    """What a broker asks of its clients: TLS, a certificate of the CA's (mosquitto), a password."""

    ca_file: Path
    cert_file: Path
    key_file: Path
    user: str
    password: str


class MqttBroker:
    """One broker.

    Characteristics:
        start: returns when it takes connections.
        kill: clients see their connections closed.
        freeze: it stands still until `thaw`; clients see nothing at all.

    Attributes:
        name: Which one it is, "mosquitto" or "amqtt".
        port: Where it listens, on 127.0.0.1.
    """

    def __init__(self, directory: Path, lock: Lock | None) -> None:
        self.port = _free_port()
        self._directory = directory
        mosquitto = _find_program("mosquitto")
        if mosquitto is not None:
            self.name = "mosquitto"
            self._command: Sequence[str] = _prepare_mosquitto(mosquitto, directory, self.port, lock)
        elif find_spec("amqtt") is not None:
            self.name = "amqtt"
            self._command = _prepare_amqtt(directory, self.port, lock)
        else:
            raise BrokerMissing("no MQTT broker: install mosquitto, or pip install amqtt")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  # our own command
                self._command, stdout=log, stderr=log, start_new_session=True, cwd="/"
            )
        for _ in range(round(START_TIMEOUT_S / _PROBE_EVERY_S)):
            if self._process.poll() is not None:
                break
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_PROBE_EVERY_S)
        raise BrokerMissing(f"{self.name} did not start: {self.log()[-2_000:]}")

    def kill(self) -> None:
        """End it where it stands."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(START_TIMEOUT_S)
            self._process = None

    def freeze(self) -> None:
        """Stop it in the middle of what it does."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def log(self) -> str:
        """What it wrote."""
        return (self._directory / "log").read_text("utf-8", "replace")

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)


@contextmanager
def run_broker(lock: Lock | None = None) -> Iterator[MqttBroker]:
    """A broker for the length of the block, open to everybody unless it has a lock.

    Raises:
        BrokerMissing: There is none, or it does not start.
    """
    with tempfile.TemporaryDirectory(prefix="dercp-mqtt-") as directory:
        broker = MqttBroker(Path(directory), lock)
        try:
            broker.start()
            yield broker
        finally:
            broker.kill()


def _prepare_mosquitto(
    program: str, directory: Path, port: int, lock: Lock | None
) -> Sequence[str]:
    lines = [f"listener {port} 127.0.0.1", "persistence false", "sys_interval 0"]
    if os.geteuid() == 0:
        lines.append("user root")  # it would change to a user who cannot read this directory
    if lock is None:
        lines.append("allow_anonymous true")
    else:
        passwords = directory / "passwords"
        subprocess.run(  # noqa: S603  # our own command
            [_find_program("mosquitto_passwd") or "", "-b", "-c", passwords, *_login(lock)],
            check=True,
            capture_output=True,
        )
        lines += [
            f"password_file {passwords}",
            f"cafile {lock.ca_file}",
            f"certfile {lock.cert_file}",
            f"keyfile {lock.key_file}",
            "require_certificate true",
        ]
    config = directory / "mosquitto.conf"
    config.write_text("\n".join(lines) + "\n", "utf-8")
    return [program, "-c", str(config)]


def _prepare_amqtt(directory: Path, port: int, lock: Lock | None) -> Sequence[str]:
    listener: dict[str, object] = {"type": "tcp", "bind": f"127.0.0.1:{port}"}
    if lock is None:
        plugins: dict[str, object] = {
            "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}
        }
    else:
        from pwdlib.hashers.argon2 import Argon2Hasher

        passwords = directory / "passwords"
        user, password = _login(lock)
        passwords.write_text(f"{user}:{Argon2Hasher().hash(password)}\n", "utf-8")
        plugins = {"amqtt.plugins.authentication.FileAuthPlugin": {"password_file": str(passwords)}}
        listener |= {
            "ssl": True,
            "cafile": str(lock.ca_file),
            "certfile": str(lock.cert_file),
            "keyfile": str(lock.key_file),
        }
    config = directory / "amqtt.yaml"
    # Each JSON document is a YAML document, too.
    config.write_text(json.dumps({"listeners": {"default": listener}, "plugins": plugins}), "utf-8")
    return [sys.executable, "-m", "amqtt.scripts.broker_script", "-c", str(config)]


def _login(lock: Lock) -> tuple[str, str]:
    return lock.user, lock.password


def _find_program(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path=_SYSTEM_PROGRAMS)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
