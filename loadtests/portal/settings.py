"""What a stand-in portal is started with."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from sim.scenario.scenario import Scenario

SLOW_MODES = ("service-counts", "todo-rows", "todo-counts")
"""Known slowness of the published server, each off unless asked for.

``service-counts``: one SQL count per service when services are listed by agency. ``todo-rows``:
queries per row of a dossier list. ``todo-counts``: one count per step and menu entry.
"""


@dataclass(frozen=True, slots=True)
class Secrets:
    """What must never stand in a file or on a command line; read from the environment.

    Attributes
    ----------
    user_secret : str
        The password of every synthetic user is HMAC-SHA256(user_secret, user name), in hex; empty:
        nobody can sign in.
    captcha : str
        The fixed answer of every captcha; empty: every answer is refused.
    monitor_key : str
        Key of the routes below ``/o/hoso``; empty: they are closed.
    """

    user_secret: str = field(default="", repr=False)
    captcha: str = field(default="", repr=False)
    monitor_key: str = field(default="", repr=False)

    @classmethod
    def from_environment(cls) -> Self:
        """Read ``HOSO_PORTAL_USER_SECRET``, ``HOSO_CAPTCHA`` and ``HOSO_MONITOR_KEY``."""
        return cls(
            user_secret=os.environ.get("HOSO_PORTAL_USER_SECRET", ""),
            captcha=os.environ.get("HOSO_CAPTCHA", ""),
            monitor_key=os.environ.get("HOSO_MONITOR_KEY", ""),
        )


@dataclass(frozen=True, slots=True)
class PortalSettings:
    """Settings of one portal; picklable, so that every process gets the same.

    Attributes
    ----------
    scenario : Scenario
        Catalogue, shared data, jobs, gateways and calendar come from it.
    data : Path
        Folder of the SQLite file and of the stored attachments.
    database : str or None
        URL ``postgresql://...``; None: SQLite in ``data``.
    workers : int
        Web processes, >= 1.
    threads, pool, queue_limit : int
        Of each web process: handler threads, database connections, requests that may wait for a
        thread; one more is answered 503.
    pool_wait_s : float
        How long a request waits for a connection before it is answered 504.
    gateways : str or None
        URL of the gateways' server; None: they answer at once from synthetic data.
    records : int or None
        Records of the shared-data warehouse; None: the scenario's number.
    officers, backlog_per_officer : int
        Officers seeded, ``o0000`` onwards, spread evenly over the agencies; received dossiers that
        wait for each.
    slow_modes : frozenset of str
        Of ``SLOW_MODES``.
    index_lag_s : tuple of float
        Least and greatest delay until a change shows in search lists, s.
    tracks_reads : bool
        Whether reading services writes tracking rows, as the published server does.
    waf : bool
        Whether a front door refuses programs without a browser's name or the cookie of a page.
    max_form_bytes, max_upload_bytes : int
        Largest body of a form or JSON, and largest file.
    """

    scenario: Scenario
    data: Path
    database: str | None = None
    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 1
    threads: int = 40  # assumption: as the scenario's application tier
    pool: int = 20  # assumption: half the threads, so that it is seen to fill
    queue_limit: int = 100  # assumption: Tomcat's acceptCount default
    pool_wait_s: float = 30.0  # assumption: usual default of a Java connection pool
    gateways: str | None = None
    records: int | None = None
    officers: int = 200  # assumption: about one per 8 services
    backlog_per_officer: int = 10  # assumption: a short work list
    slow_modes: frozenset[str] = frozenset()
    index_lag_s: tuple[float, float] = (0.3, 1.0)  # assumption: the front end waits 0.3-0.5 s
    tracks_reads: bool = True
    waf: bool = False
    max_form_bytes: int = 2_000_000  # assumption: Tomcat's maxPostSize default of 2 MB
    max_upload_bytes: int = 100 * 1024 * 1024  # source: OpenCPS front end, 100 MB per file
    group_id: int = 20_126  # assumption: a Liferay site id
    tracking_prefix: str = "hoso-tracuu-"
    """Fixed part of the anonymous tracking key, before the minute. # assumption: any text."""
    password_attempts: int = 5  # source: OpenCPS opencps.user.login.max
    lockout_s: float = 600.0  # source: OpenCPS login page, 10 minutes
    session_s: float = 8 * 3600.0  # assumption: a working day
    secrets: Secrets = Secrets()

    @property
    def blobs(self) -> Path:
        """Folder of the stored attachments."""
        return self.data / "blobs"
