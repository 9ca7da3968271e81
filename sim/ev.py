"""A charging site for electric vehicles: visitors, their batteries, and a managed limit."""

import msgspec

from dercp.model.points import OperatingState
from sim.conditions import Conditions
from sim.plant import PlantState, Values, approach, clamp
from sim.seeded import seeded

__all__ = ["EvPlant", "EvState", "Session", "fair_shares", "visitor", "wait_before"]

# Visitors per hour, as shares of a day: a public site, busy from noon to the evening.
_VISITS_BY_HOUR = (
    0.007, 0.005, 0.004, 0.004, 0.006, 0.012, 0.023, 0.038, 0.047, 0.052, 0.058, 0.064,
    0.068, 0.068, 0.068, 0.070, 0.073, 0.074, 0.068, 0.058, 0.047, 0.037, 0.028, 0.021,
)  # fmt: skip
_BATTERIES_MWH = (0.045, 0.058, 0.064, 0.077, 0.082, 0.100)
_VEHICLE_RATINGS_MW = (0.050, 0.100, 0.125, 0.150)
_STAY_MAX_S = 3.0 * 3600.0
# A vehicle takes its full rating up to the knee, then less and less.
_KNEE_SOC_PCT = 55.0
_SHARE_WHEN_FULL = 0.15
_FULL_WITHIN_PCT = 1e-6
# Bound of one step; more visitors than this found no free connector anyway.
_ARRIVALS_MAX = 100


class Session(msgspec.Struct, frozen=True, gc=False):
    """A vehicle at a connector."""

    battery_mwh: float
    rating_mw: float
    target_soc_pct: float
    soc_pct: float
    delivered_mwh: float = 0.0
    stayed_s: float = 0.0

    def demand_mw(self, connector_mw: float) -> float:
        """What the vehicle would take now."""
        beyond = clamp((self.soc_pct - _KNEE_SOC_PCT) / (100.0 - _KNEE_SOC_PCT), 0.0, 1.0)
        return min(self.rating_mw * (1.0 - (1.0 - _SHARE_WHEN_FULL) * beyond), connector_mw)


class EvState(PlantState, frozen=True, kw_only=True):
    """Who is charging, and when the next vehicle comes.

    `visits` counts the visitors drawn so far. `until_next` is the waiting time that is
    left for the next one, in units of the mean time between two: it passes faster when
    the site is busier.
    """

    sessions: tuple[Session, ...]
    visits: int
    until_next: float
    limit_mw: float
    demand_mw: float


class EvPlant(msgspec.Struct, frozen=True, kw_only=True):
    """Chargers behind one grid connection, with more connectors than it can feed at once.

    A setpoint (zero or less) caps what the site takes; the cap is shared so that no vehicle
    gets less than another that could use less. Vehicles do not feed back.
    """

    p_min_mw: float
    seed: str
    p_max_mw: float = 0.0
    connector_mw: float = 0.15
    connectors_total: int = 8
    visits_per_connector_day: float = 12.0
    charging_efficiency: float = 0.92
    ramp_share_per_s: float = 0.5

    @property
    def own_setpoint_mw(self) -> float:
        """Left to itself it serves what the connection can feed."""
        return self.p_min_mw

    def start(self, conditions: Conditions) -> EvState:
        """Half of the connectors taken by vehicles that have just come."""
        present = self.connectors_total // 2
        sessions = tuple(visitor(self.seed, number) for number in range(present))
        demand = min(-self.p_min_mw, sum(s.demand_mw(self.connector_mw) for s in sessions))
        return EvState(
            active_power_mw=-demand,
            sessions=sessions,
            visits=present,
            until_next=wait_before(self.seed, present),
            limit_mw=-self.p_min_mw,
            demand_mw=demand,
        )

    def step(
        self, state: EvState, elapsed_s: float, conditions: Conditions, setpoint_mw: float
    ) -> EvState:
        """Let vehicles come, charge within the limit, and go."""
        hours = elapsed_s / 3600.0
        present, visits, until_next = self._arrivals(state, hours, conditions)
        demands = [self._demand_mw(session, hours) for session in present]
        ramp = self.ramp_share_per_s * -self.p_min_mw * elapsed_s
        limit = approach(state.limit_mw, clamp(-setpoint_mw, 0.0, -self.p_min_mw), ramp)
        shares = fair_shares(demands, limit)
        charged = (
            self._charged(session, share * hours, elapsed_s)
            for session, share in zip(present, shares, strict=True)
        )
        taken = min(limit, sum(shares))  # sums round up
        return EvState(
            active_power_mw=-taken,
            energy_imported_mwh=state.energy_imported_mwh + taken * hours,
            sessions=tuple(session for session in charged if _stays(session)),
            visits=visits,
            until_next=until_next,
            limit_mw=limit,
            demand_mw=min(-self.p_min_mw, sum(demands)),
        )

    def values(self, state: EvState, conditions: Conditions) -> Values:
        """What the charging management shows; no vehicle, no state of charge."""
        sessions = state.sessions
        return {
            "available_min_mw": -state.demand_mw,
            "available_max_mw": 0.0,
            "operating_state": float(_operating_state(state)),
            "connectors_total": float(self.connectors_total),
            "connectors_occupied": float(len(sessions)),
            "session_energy_mwh": sum(session.delivered_mwh for session in sessions),
            "vehicle_soc_pct": (
                sum(session.soc_pct for session in sessions) / len(sessions) if sessions else None
            ),
        }

    def _arrivals(
        self, state: EvState, hours: float, conditions: Conditions
    ) -> tuple[tuple[Session, ...], int, float]:
        """Sessions with those who came, visitors drawn, and the wait that is left.

        A Poisson process of a changing rate: each visitor waits a unit-exponential time,
        and that time passes at the rate of the hour. Who finds no free connector drives on.
        """
        per_day = self.visits_per_connector_day * self.connectors_total
        rate_per_hour = per_day * _VISITS_BY_HOUR[int(conditions.hour_of_day) % 24]
        sessions, visits = state.sessions, state.visits
        until_next = state.until_next - rate_per_hour * hours
        while until_next <= 0 and visits < state.visits + _ARRIVALS_MAX:
            if len(sessions) < self.connectors_total:
                sessions = (*sessions, visitor(self.seed, visits))
            visits += 1
            until_next += wait_before(self.seed, visits)
        return sessions, visits, until_next

    def _demand_mw(self, session: Session, hours: float) -> float:
        """What a vehicle takes for this long without passing its target."""
        missing = max(0.0, session.target_soc_pct - session.soc_pct) / 100.0 * session.battery_mwh
        return min(session.demand_mw(self.connector_mw), missing / self.charging_efficiency / hours)

    def _charged(self, session: Session, energy_mwh: float, elapsed_s: float) -> Session:
        gained_pct = 100.0 * energy_mwh * self.charging_efficiency / session.battery_mwh
        return Session(
            session.battery_mwh,
            session.rating_mw,
            session.target_soc_pct,
            min(session.target_soc_pct, session.soc_pct + gained_pct),
            session.delivered_mwh + energy_mwh,
            session.stayed_s + elapsed_s,
        )


def visitor(seed: str, number: int) -> Session:
    """The vehicle of the visitor of this number, as it comes in."""
    draw = seeded(seed, "vehicle", number)
    return Session(
        battery_mwh=draw.choice(_BATTERIES_MWH),
        rating_mw=draw.choice(_VEHICLE_RATINGS_MW),
        target_soc_pct=draw.uniform(75.0, 95.0),
        soc_pct=draw.uniform(10.0, 55.0),
    )


def wait_before(seed: str, number: int) -> float:
    """How long after the one before this visitor comes, in mean times between two."""
    return seeded(seed, "wait", number).expovariate(1.0)


def fair_shares(demands: list[float], limit: float) -> list[float]:
    """Share a limit max-min fairly: a small demand is met before a large one gets more."""
    if sum(demands) <= limit:
        return demands
    shares = [0.0] * len(demands)
    left = limit
    by_size = sorted(range(len(demands)), key=demands.__getitem__)
    for served, index in enumerate(by_size):
        shares[index] = min(demands[index], left / (len(demands) - served))
        left -= shares[index]
    return shares


def _stays(session: Session) -> bool:
    wants_more = session.soc_pct < session.target_soc_pct - _FULL_WITHIN_PCT
    return wants_more and session.stayed_s < _STAY_MAX_S


def _operating_state(state: EvState) -> OperatingState:
    if not state.sessions:
        return OperatingState.STANDBY
    if -state.active_power_mw < 0.98 * state.demand_mw:
        return OperatingState.THROTTLED
    return OperatingState.RUNNING
