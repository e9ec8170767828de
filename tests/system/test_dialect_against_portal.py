"""The dialects against the stand-in portal: every journey, request by request."""

import asyncio
import dataclasses
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import numpy as np
import pytest

from loadtests.dialects import (
    Answer,
    Call,
    Credentials,
    Dialect,
    Reading,
    Service,
    Visitor,
    check_endpoints,
    make_dialect,
    services_of,
)
from loadtests.portal.app import make_app
from loadtests.portal.seed import seed
from loadtests.portal.settings import PortalSettings, Secrets
from loadtests.portal.store.database import Database, open_database
from sim.demand import catalogue_of, draw_trace
from sim.demand.trace import TOGETHER, WHILE_SYNCING, Trace
from sim.scenario import Scenario, load_scenario

JOURNEYS = (
    "browse",
    "submit",
    "track",
    "pay",
    "supplement",
    "mistaken",
    "enterprise_bulk",
    "officer",
)
BEHIND_THE_NATIONAL_PORTAL = ("national_intake", "national_supplement", "track", "officer")
CITIZENS_OF_THE_NATIONAL_PORTAL = ("browse", "submit", "mistaken")
OFFICERS, BACKLOG = 34, 4
LARGEST_UPLOAD_BYTES = 200_000
SESSIONS_PER_JOURNEY = 1
OVERRIDES = (
    "window.duration_s=3 min",
    "window.warm_up_s=0 s",
    "demand.journeys.enterprise_bulk.per_dossier=1",
)

CREDENTIALS = Credentials(user_secret="a secret", captcha="four letters", officers=OFFICERS)

Asked = tuple[int, str, int]
"""Number of a request within its session, endpoint, bytes to upload."""


@dataclass(frozen=True)
class Portal:
    """A seeded portal, and the demand it is asked to serve."""

    scenario: Scenario
    trace: Trace
    services: dict[str, Service]
    settings: PortalSettings
    database: Database

    def client(self) -> httpx.AsyncClient:
        """Return a browser of its own; to be called on the event loop that uses it."""
        transport = httpx.ASGITransport(make_app(self.settings, self.database))
        return httpx.AsyncClient(transport=transport, base_url="http://portal.test")


class Walk:
    """A session's requests in order; those of a group are in flight together."""

    def __init__(self, client: httpx.AsyncClient, visitor: Visitor) -> None:
        self._client = client
        self._visitor = visitor
        self.readings: list[tuple[Call, Reading]] = []
        self.is_synced = False

    async def send(self, group: list[Asked]) -> None:
        """Make all calls, then send them together, then read the answers."""
        calls = [
            self._visitor.call(
                endpoint,
                request=number,
                attempt=0,
                bytes_up=bytes_up,
                now_ms=int(time.time() * 1000),
            )
            for number, endpoint, bytes_up in group
        ]
        answers = await asyncio.gather(*(self._answer(call) for call in calls))
        for (number, endpoint, _), call, answer in zip(group, calls, answers, strict=True):
            reading = self._visitor.read(endpoint, number, 0, answer)
            self.readings.append((call, reading))
            if reading.synced is not None:
                self.is_synced = reading.synced

    async def _answer(self, call: Call) -> Answer:
        response = await self._client.request(
            call.method, call.path, headers=dict(call.headers), content=call.body
        )
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, headers, response.content)

    @property
    def problems(self) -> list[str]:
        """What went wrong, in words."""
        return [
            f"{call.method} {call.path}: {reading.problem}"
            for call, reading in self.readings
            if reading.outcome != "ok"
        ]


def groups_of(trace: Trace, session: int) -> Iterator[tuple[list[Asked], bool]]:
    """Yield a session's groups of requests, and whether they are polls."""
    first, stop = trace.first_request[session : session + 2].tolist()
    starts = [r for r in range(first, stop) if r == first or not trace.flags[r] & TOGETHER]
    for start, end in itertools.pairwise([*starts, stop]):
        group = [
            (
                request - first,
                trace.endpoints[trace.endpoint[request]],
                min(int(trace.bytes_up[request]), LARGEST_UPLOAD_BYTES),
            )
            for request in range(start, end)
        ]
        yield group, bool(trace.flags[start] & WHILE_SYNCING)


async def walk_session(portal: Portal, dialect: Dialect, session: int) -> Walk:
    """Send a session's requests until one fails; two rounds of polls are enough."""
    trace = portal.trace
    service = portal.services[trace.services[trace.service[session]]]
    key = int(trace.key[trace.first_request[session]])
    visitor = dialect.visitor(session, trace.journeys[trace.journey[session]], service, key)
    async with portal.client() as client:
        walk = Walk(client, visitor)
        polls = 0
        for group, is_poll in groups_of(trace, session):
            if is_poll and (walk.is_synced or polls == 2):
                continue
            polls += is_poll
            await walk.send(group)
            if walk.problems:
                break
    return walk


def sessions_of(trace: Trace, journey: str, n: int) -> list[int]:
    """Return the first sessions of a journey, the shortest and the longest of all among them."""
    mine = np.flatnonzero(trace.journey == trace.journeys.index(journey))
    assert len(mine), f"no session of {journey}"
    lengths = np.diff(trace.first_request)[mine]
    chosen = [mine[lengths.argmin()], mine[lengths.argmax()], *mine[:n]]
    return list(dict.fromkeys(int(session) for session in chosen))


@pytest.fixture(scope="module", name="seeded")
def _seeded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    scenario = load_scenario("haiphong-2024", OVERRIDES)
    settings = PortalSettings(
        scenario=scenario,
        data=tmp_path_factory.mktemp("portal"),
        records=2_000,
        officers=OFFICERS,
        backlog_per_officer=BACKLOG,
        index_lag_s=(0.0, 0.0),
        secrets=Secrets(user_secret="a secret", captcha="four letters", monitor_key="key"),
    )
    database = open_database(None, settings.data)
    seed(settings, database)
    services = services_of(catalogue_of(scenario))
    yield Portal(scenario, draw_trace(scenario, 0), services, settings, database)
    database.close()


@pytest.fixture(scope="module", name="merged")
def _merged(seeded: Portal) -> Portal:
    """The same portal, asked for what reaches it behind the national portal."""
    scenario = load_scenario("haiphong-2025-merged", OVERRIDES[:2])
    return dataclasses.replace(seeded, scenario=scenario, trace=draw_trace(scenario, 0))


def assert_all_is_well(portal: Portal, dialect: Dialect, journey: str) -> None:
    for session in sessions_of(portal.trace, journey, SESSIONS_PER_JOURNEY):
        walk = asyncio.run(walk_session(portal, dialect, session))
        assert walk.problems == []
        assert walk.readings


@pytest.mark.parametrize("journey", JOURNEYS)
def test_every_request_of_a_journey_is_answered_well(seeded: Portal, journey: str) -> None:
    dialect = make_dialect("opencps", seeded.scenario, "hoso-5eed", CREDENTIALS)
    check_endpoints(seeded.scenario, dialect)
    assert_all_is_well(seeded, dialect, journey)


def test_no_journey_is_forgotten(seeded: Portal) -> None:
    assert set(JOURNEYS) == set(seeded.scenario.journeys)


@pytest.mark.parametrize("journey", BEHIND_THE_NATIONAL_PORTAL)
def test_what_the_national_portal_hands_over_is_answered_well(merged: Portal, journey: str) -> None:
    dialect = make_dialect("national", merged.scenario, "hoso-2a7e", CREDENTIALS)
    check_endpoints(merged.scenario, dialect)
    assert_all_is_well(merged, dialect, journey)


@pytest.mark.parametrize("journey", CITIZENS_OF_THE_NATIONAL_PORTAL)
def test_citizens_of_the_national_portal_are_answered_well(seeded: Portal, journey: str) -> None:
    dialect = make_dialect("national", seeded.scenario, "hoso-c171", CREDENTIALS)
    assert_all_is_well(seeded, dialect, journey)
