"""The portal: tiers, pools, gateways, jobs, links, and what each endpoint does on them."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from sim.scenario.base import Distribution, Name, Share, Spec
from sim.scenario.quantities import BitsPerSecond, PerSecond, Seconds

Balancing = Literal["shared", "round_robin", "least_connections"]
Discipline = Literal["ps", "fcfs"]
Positive = Annotated[Seconds, Field(gt=0)]
Count = Annotated[int, Field(ge=1, le=100_000)]


class Autoscaling(Spec):
    """Servers follow utilisation: every period the tier aims at ``target_utilisation``."""

    min_servers: Count
    """Never fewer servers."""
    max_servers: Count
    """Never more servers."""
    target_utilisation: Annotated[float, Field(gt=0, lt=1)] = 0.6
    """Mean processor utilisation aimed at; servers = ⌈servers × utilisation / target⌉."""
    period_s: Positive = 60.0
    """How often utilisation is looked at, s."""
    boot_s: Annotated[Seconds, Field(ge=0)] = 120.0
    """From the decision until a new server takes requests, s."""
    cooldown_s: Annotated[Seconds, Field(ge=0)] = 300.0
    """How long after any change no server is taken away, s."""

    @model_validator(mode="after")
    def _check_range(self) -> "Autoscaling":
        if self.max_servers < self.min_servers:
            raise ValueError(
                f"max_servers {self.max_servers} must be at least min_servers {self.min_servers}"
            )
        return self


class Tier(Spec):
    """A group of equal servers, each with worker threads and processor cores."""

    servers: Count = 1
    """Number of servers."""
    cores: Count = 1
    """Processor cores of one server."""
    workers: Count | None = None
    """Worker threads of one server; absent: no limit (an asynchronous server)."""
    queue_limit: Annotated[int, Field(ge=0)] | None = None
    """Requests that may wait for a worker of one server; one more is rejected. Absent: no limit."""
    wait_limit: Distribution | None = None
    """How long a request waits for a worker before it is answered as timed out."""
    discipline: Discipline = "ps"
    """How cores are shared: ``ps`` processor sharing, ``fcfs`` one request a core in turn."""
    balancing: Balancing = "shared"
    """``shared``: one queue before all servers; else each server has its own queue."""
    autoscaling: Autoscaling | None = None
    """How the number of servers follows the load; absent: it stays."""

    @model_validator(mode="after")
    def _check_start(self) -> "Tier":
        scaling = self.autoscaling
        if scaling and not scaling.min_servers <= self.servers <= scaling.max_servers:
            raise ValueError(
                f"servers {self.servers} must lie between autoscaling.min_servers "
                f"{scaling.min_servers} and autoscaling.max_servers {scaling.max_servers}"
            )
        return self


class Pool(Spec):
    """Tokens that requests hold, such as database connections."""

    capacity: Count
    """Tokens (of one server where ``per_server_of`` is set)."""
    queue_limit: Annotated[int, Field(ge=0)] | None = None
    """Requests that may wait; one more is rejected. Absent: no limit."""
    wait_limit: Distribution | None = None
    """How long a request waits before it is answered as timed out."""
    per_server_of: Name | None = None
    """Tier of which every server has a pool of its own; absent: one pool for all."""


class Gateway(Spec):
    """A service of somebody else: single sign-on, population database, payment, national portal."""

    latency: Distribution
    """Time until it answers when not limited."""
    timeout_s: Positive | None = None
    """How long the caller waits, queueing included; absent: for ever."""
    concurrency: Count | None = None
    """Calls open at once; more wait in turn. Absent: no limit."""
    rate_limit_per_s: Annotated[PerSecond, Field(gt=0)] | None = None
    """Calls it accepts per second (token bucket); more are refused at once. Absent: no limit."""
    burst: Count = 10
    """Tokens the bucket holds."""
    error_share: Share = 0.0
    """Share of answers that are errors."""


class Link(Spec):
    """Bandwidth shared by uploads, max-min fair, each at most at its channel's rate."""

    bandwidth_bit_per_s: Annotated[BitsPerSecond, Field(gt=0)]
    """Capacity of the shared link, bit/s."""


class Take(Spec):
    """Take a worker of a tier or a token of a pool, and hold it until released or answered."""

    take: Name
    """Tier or pool."""


class Release(Spec):
    """Give back what was taken."""

    release: Name
    """Tier or pool."""


class Compute(Spec):
    """Use the processor of a tier."""

    cpu: Name
    """Tier; the server whose worker is held, else one chosen by the tier's balancing."""
    work: Distribution
    """Processor time on one free core."""


class Delay(Spec):
    """Wait without using anything that is counted."""

    delay: Distribution
    """How long."""


class Call(Spec):
    """Call a gateway and wait for its answer, holding whatever is held."""

    call: Name
    """Gateway."""
    optional: bool = False
    """Whether the request goes on when the call fails."""


class Transfer(Spec):
    """Move the request's upload over a shared link."""

    transfer: Name
    """Link."""


class Enqueue(Spec):
    """Give one item to a job, once the whole program has ended well."""

    enqueue: Name
    """Job."""


_OPS: dict[str, type[Spec]] = {
    "take": Take,
    "release": Release,
    "cpu": Compute,
    "delay": Delay,
    "call": Call,
    "transfer": Transfer,
    "enqueue": Enqueue,
}


def _op_kind(value: Any) -> str | None:
    """Return which operation a row of a program is, by the key that names it."""
    keys = value if isinstance(value, dict) else getattr(value, "model_fields_set", ())
    return next((key for key in _OPS if key in keys), None)


Op = Annotated[
    Annotated[Take, Tag("take")]
    | Annotated[Release, Tag("release")]
    | Annotated[Compute, Tag("cpu")]
    | Annotated[Delay, Tag("delay")]
    | Annotated[Call, Tag("call")]
    | Annotated[Transfer, Tag("transfer")]
    | Annotated[Enqueue, Tag("enqueue")],
    Discriminator(
        _op_kind,
        custom_error_type="operation",
        custom_error_message="not an operation; allowed: " + ", ".join(_OPS),
    ),
]


class Job(Spec):
    """Background work: every period it takes a batch from its queue and runs a program per item."""

    period_s: Positive
    """Time between two ticks, s."""
    batch: Count
    """Items taken at one tick, at most."""
    workers: Count = 1
    """Items worked on at once."""
    skip_if_running: bool = True
    """Whether a tick is skipped while the previous batch still runs."""
    offset_s: Annotated[Seconds, Field(ge=0)] = 0.0
    """Time of the first tick, s."""
    program: tuple[Op, ...] = ()
    """What one item does."""
    retries: Annotated[int, Field(ge=0, le=1000)] = 10
    """How often a failed item goes back to the end of the queue before it is given up."""
    then: Name | None = None
    """Job that gets an item when one is finished here."""
    initial_queue: Annotated[int, Field(ge=0)] = 0
    """Items waiting at the start: a real backlog."""


class Endpoint(Spec):
    """One kind of request, and its program over the portal's parts."""

    group: Name
    """Group it is reported in, such as ``browse`` or ``submit``."""
    program: tuple[Op, ...]
    """What the server does, in order."""
    files_dossier: bool = False
    """Whether a completed request puts a dossier on file."""


class Portal(Spec):
    """Everything a request meets."""

    tiers: dict[Name, Tier]
    """Groups of servers by name."""
    pools: dict[Name, Pool] = Field(default_factory=dict)
    """Token pools by name."""
    gateways: dict[Name, Gateway] = Field(default_factory=dict)
    """Services of others by name."""
    links: dict[Name, Link] = Field(default_factory=dict)
    """Shared links by name."""
    jobs: dict[Name, Job] = Field(default_factory=dict)
    """Background jobs by name."""
    endpoints: dict[Name, Endpoint]
    """Kinds of requests by name."""
