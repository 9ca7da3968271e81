"""Writes the section of a site.toml for a device that was found."""

import re
from typing import Final

import msgspec

from adapters.modbus._client import open_modbus
from adapters.sunspec._control import CONTROLS, choose
from adapters.sunspec._device import discover, poller_of
from adapters.sunspec._mapping import MEASURED, Models, value_of
from adapters.sunspec._options import SunSpecOptions
from dercp.model.points import Kind, points_of

__all__ = ["describe"]

_MW: Final = 1e-6
# What a device states of itself in these points, the first that it implements.
_GIVES: Final = ((702, "WMaxRtg"), (120, "WRtg"), (702, "WMax"), (121, "WMax"))
_DISCHARGES: Final = ((702, "WDisChaRteMaxRtg"), (120, "MaxDisChaRte"), (802, "WDisChaRteMax"))
_CHARGES: Final = (
    (702, "WChaRteMaxRtg"),
    (120, "MaxChaRte"),
    (802, "WChaRteMax"),
    (124, "WChaMax"),
)
_HOLDS: Final = ((713, "WHRtg"), (802, "WHRtg"), (120, "WHRtg"))
_PORTS: Final = (714, "*.PrtTyp")
_PORT_EV: Final = 2
_USUAL_BASE: Final = 40000


async def describe(options: SunSpecOptions) -> str:
    """A section [[assets]] for the device, ready to be looked over.

    Raises:
        DeviceError: It cannot be reached, or is no SunSpec device.
    """
    async with open_modbus(options.endpoint, str(options.endpoint)) as client:
        chain = await discover(client, options)
        also = (*_GIVES, *_DISCHARGES, *_CHARGES, *_HOLDS, _PORTS)
        poller = poller_of(client, chain, tuple(MEASURED), tuple(Kind), options, also)
        models = await poller.poll()
    base = chain[0].address - 2 if chain else _USUAL_BASE
    numbers = ", ".join(str(place.model_id) for place in chain)
    return "\n".join(
        (
            f"# Found at {options.endpoint}: SunSpec models {numbers}, from register {base} on.",
            "# Look over id, name, ratings and fallback; docs/edge.md explains each key.",
            *_asset(models),
            "",
            *_options(options, base),
            "",
        )
    )


def _asset(models: Models) -> list[str]:
    kind = _kind(models)
    name, serial = _name(models)
    control = choose(models, kind)
    told = [point.name for point in points_of(kind) if _is_told(point.name, models, kind)]
    if control is not None and "setpoint_mw" not in told:
        told.insert(1, "setpoint_mw")
    lines = [
        "[[assets]]",
        f"id = {_quoted(_id(serial, kind))}",
        f"name = {_quoted(name)}",
        f"kind = {_quoted(kind)}",
        *_ratings(models, kind),
        "points = [" + ", ".join(_quoted(point) for point in told) + "]",
    ]
    if control is None:
        wanted = ", ".join(sorted({str(control.model_id) for control in CONTROLS[kind]}))
        lines.append(f"# It takes no setpoint: it has none of the models {wanted}.")
    else:
        lines.append(
            f"# A setpoint goes through model {control.model_id}, {control.values[0].name}."
        )
        if not control.has_timer(models):
            lines.append("# It has no timer of its own: it holds a setpoint when the agent dies.")
        lines.append('fallback = "release"')
    return [*lines, 'adapter = "sunspec"']


def _options(options: SunSpecOptions, base: int) -> list[str]:
    lines = ["[assets.options]", f"host = {_quoted(options.host)}"]
    lines += [f"port = {options.port}", f"unit_id = {options.unit_id}"]
    return lines if base == _USUAL_BASE else [*lines, f"base_addresses = [{base}]"]


def _kind(models: Models) -> Kind:
    """A guess: what holds energy is a battery, what has ports for vehicles a charger."""
    ports = models[714].group_numbers("PrtTyp") if 714 in models else []
    if ports and all(port == _PORT_EV for port in ports):
        return Kind.EV
    is_storage = {713, 802, 803} & models.keys() or _first(models, ((124, "WChaMax"),))
    return Kind.STORAGE if is_storage else Kind.PV


def _ratings(models: Models, kind: Kind) -> list[str]:
    gives = _first(models, (*_DISCHARGES, *_GIVES) if kind is Kind.STORAGE else _GIVES)
    takes = None if kind is Kind.PV else _first(models, _CHARGES)
    lines = [
        _rating("p_min_mw", None if takes is None else -takes, 0.0 if kind is Kind.PV else None),
        _rating("p_max_mw", gives, 0.0 if kind is Kind.EV else None),
    ]
    holds = _first(models, _HOLDS)
    if kind is Kind.STORAGE and holds is not None:
        lines.append(_rating("energy_capacity_mwh", holds, None))
    return lines


def _rating(key: str, watts: float | None, otherwise: float | None) -> str:
    if watts is not None:
        return f"{key} = {watts * _MW:.9g}"
    if otherwise is not None:
        return f"{key} = {otherwise}"
    return f"{key} = 0.0  # the device does not tell: put its rating here"


def _first(models: Models, places: tuple[tuple[int, str], ...]) -> float | None:
    for model_id, name in places:
        number = models[model_id].number(name) if model_id in models else None
        if number:
            return number
    return None


def _is_told(point: str, models: Models, kind: Kind) -> bool:
    return value_of(point, models, kind, 1) is not None


def _name(models: Models) -> tuple[str, str]:
    common = models.get(1)
    if common is None:
        return "", ""
    made = f"{common.text('Mn')} {common.text('Md')}".strip()
    return made, common.text("SN")


def _id(serial: str, kind: Kind) -> str:
    """An id after the serial number; the fleet's own scheme is better."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", serial).strip("-._")[:40]
    return f"{kind}-{plain or '1'}"


def _quoted(text: str) -> str:
    """A TOML string; those of JSON are."""
    return msgspec.json.encode("".join(c if c.isprintable() else "?" for c in text)).decode()
