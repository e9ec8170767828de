"""A small stand-in portal for rough handling: 10 services, 2 agencies' officers, 100 records."""

import base64
import hashlib
import hmac
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

USER_SECRET, CAPTCHA, MONITOR_KEY = "a secret for tests", "four letters", "a key for tests"


def credentials(login: str, password: str | None = None) -> dict[str, str]:
    """Return the header by which a synthetic user signs in."""
    if password is None:
        password = hmac.new(USER_SECRET.encode(), login.encode(), hashlib.sha256).hexdigest()
    pair = base64.b64encode(f"{login}:{password}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


@pytest.fixture(scope="session", name="credentials")
def _credentials() -> Callable[..., dict[str, str]]:
    return credentials


@pytest.fixture(scope="session")
def rough_portal(
    scenario_dict: Callable[..., dict], one_endpoint: Callable[..., dict]
) -> Callable[..., Any]:
    """Return what opens the application of a small portal, seeded, in an empty folder."""
    from loadtests.portal.app import make_app
    from loadtests.portal.seed import seed
    from loadtests.portal.settings import PortalSettings, Secrets
    from loadtests.portal.store import open_database
    from sim.scenario.scenario import Scenario

    shared = {"data_sets": 5, "fields": 40, "records": 100}
    whole = scenario_dict(one_endpoint([{"delay": 0.0}]), shared_data=shared)
    domain = {"share": 0.5, "limit_median_days": 5.0}
    whole["catalogue"]["domains"] = {"land": domain, "justice": domain}
    scenario = Scenario.model_validate(whole)
    secrets = Secrets(USER_SECRET, CAPTCHA, MONITOR_KEY)

    @contextmanager
    def opened(data: Path, **changes: Any) -> Iterator[Any]:
        small = {"officers": 8, "backlog_per_officer": 2, "index_lag_s": (0.0, 0.0)}
        settings = PortalSettings(scenario, data, secrets=secrets, **(small | changes))
        database = open_database(None, data)
        seed(settings, database)
        yield make_app(settings, database)
        database.close()

    return opened
