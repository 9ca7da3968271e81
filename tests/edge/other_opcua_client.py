"""A client that shares no code with the server: o6, which is built on open62541.

A program of its own, because it brings threads: arguments as JSON in, what it saw as JSON out.
"""

import json
import sys
import time
from typing import Any

import o6  # type: ignore[import-not-found,import-untyped,unused-ignore]  # not everybody has it

POWER = "ns=2;s=Assets/bess-1/Telemetry/active_power_mw"
CHARGE = "ns=2;s=Assets/bess-1/Telemetry/soc_pct"
SETPOINT = "ns=2;s=Assets/bess-1/Controls/SetpointMW"


def main() -> None:
    """Read, subscribe, write."""
    asked = json.loads(sys.argv[1])
    client = o6.Client(
        asked["url"],
        certificate=asked["certificate"],
        privateKey=asked["key"],
        trustList=[asked["server"]],
        securityMode=3,
        securityPolicy="http://opcfoundation.org/UA/SecurityPolicy#Basic256Sha256",
        applicationUri="urn:test:scada",
        username=asked["user"],
        password=asked["password"],
    )
    heard: list[float] = []
    client.connect()
    try:
        power = client.read(POWER, valueOnly=False)
        charge = client.read(CHARGE, valueOnly=False)
        client.monitor(POWER, lambda *told: heard.append(_value(told)))
        codes = [
            str(client.write(node, o6.Double(value)))
            for node, value in ((SETPOINT, 0.5), (SETPOINT, 1.75), (SETPOINT, 99.0), (POWER, 1.0))
        ]
        deadline = time.monotonic() + 5
        while not heard and time.monotonic() < deadline:
            time.sleep(0.05)  # noqa: TID251  # a program of its own
        seen = {
            "power": power.value,
            "charge_status": str(charge.status),
            "heard": heard[:1],
            "codes": codes,
        }
    finally:
        client.disconnect()
    sys.stdout.write("\n" + json.dumps(seen) + "\n")


def _value(told: tuple[Any, ...]) -> float:
    """What a callback was told, as a number or in a DataValue."""
    values = [getattr(each, "value", each) for each in told]
    return next((float(each) for each in values if isinstance(each, float)), float("nan"))


if __name__ == "__main__":
    main()
