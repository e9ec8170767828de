"""All stations of one run, in their order: offices, roles, states, intake, publication."""

from collections.abc import Iterator, Sequence

from sim.backoffice.clock import OfficeClock
from sim.backoffice.levels import Intervals, Level, RowLevel, Station
from sim.backoffice.outcomes import StationLevels
from sim.backoffice.plan import Plan
from sim.backoffice.workflow import State


class Stations:
    """The stations of one plan.

    A team's numbers count for its office and for its role alike.

    Attributes
    ----------
    teams : list of Level
        Of each team.
    states : list of Level
        Of each state, by value.
    """

    def __init__(self, plan: Plan, clocks: Sequence[OfficeClock]) -> None:
        self._end_s = plan.end_s
        self._intervals = Intervals(plan.end_s, plan.spec.level_interval_s)
        offices = [self._staffed(name) for name in plan.offices]
        roles = [self._staffed(name) for name in plan.roles]
        states = [Station(f"backoffice.state.{s.name.lower()}", self._intervals) for s in State]
        self._stations = [*offices, *roles, *states]
        worked = [self._intervals.worked(clock.hours) for clock in clocks]
        self.teams = [
            Level(
                self._intervals,
                [offices[office], roles[role]],
                clocks[plan.calendar[office]],
                worked[plan.calendar[office]],
            )
            for office, role in zip(plan.team_office.tolist(), plan.team_role.tolist(), strict=True)
        ]
        self.states = [Level(self._intervals, [station]) for station in states]
        self._rows: list[RowLevel] = []

    def row_level(self, name: str) -> RowLevel:
        """Return the level of one more queue of rows."""
        station = Station(f"backoffice.{name}", self._intervals)
        self._stations.append(station)
        level = RowLevel(self._intervals, station)
        self._rows.append(level)
        return level

    def close(self) -> Iterator[StationLevels]:
        """End the run; yield what each station did."""
        for level in (*self.teams, *self.states, *self._rows):
            level.advance(self._end_s)
        for station in self._stations:
            yield station.levels(self._intervals)

    def _staffed(self, name: str) -> Station:
        return Station(f"backoffice.{name}", self._intervals, is_staffed=True)
