"""What the kernel keeps in memory: one structure for each thing of the model.

Every structure is a row of a NumPy array; the :class:`World` knows where the arrays lie. Things
name each other by index, -1 is nobody, so an array can move when it grows. Times are in s. A field
is 8 bytes wide, 4 where there are many rows.
"""

from typing import Annotated, get_type_hints

import numpy as np

I4 = Annotated[int, "i4"]
I8 = Annotated[int, "i8"]
F8 = Annotated[float, "f8"]
U8 = Annotated[np.uint64, "u8"]
Address = Annotated[int, "i8"]
"""Where the first row of an array lies in memory."""


class Struct:
    """A structure; its annotated fields are its layout."""


def dtype_of(struct: type[Struct]) -> np.dtype[np.void]:
    """Return the NumPy type of one row of a structure."""
    hints = get_type_hints(struct, include_extras=True)
    return np.dtype([(name, hint.__metadata__[0]) for name, hint in hints.items()], align=True)


class Node(Struct):
    """An event in the heap."""

    time: F8
    seq: I8  # order of scheduling; decides among equal times
    handle: I8  # whose timer


class Event(Struct):
    """An event of a later slot of time, in the slot's list."""

    time: F8
    seq: I8
    handle: I8
    next: I8


class Timer(Struct):
    """What a handle's timer was last set to."""

    stamp: I8  # order of scheduling of the event that counts


class Entry(Struct):
    """An entry of a ring of things due now."""

    what: I8  # handle, or kind of what starts
    stamp: I8  # of the timer, or index of what starts


class Thread(Struct):
    """A client, the portal's work on its request, or a worker of a job: one SimPy process.

    While a request is served, client and server are one thread; a client that leaves goes on in a
    thread of its own.
    """

    id: I8
    state: I8  # what it does when it goes on
    next: I8  # in a queue, a heap of running work, or the free list
    prev: I8
    child: I8  # in a heap of running work
    station: I8  # pool, processor or class of uploads that it waits at
    program: I8
    op: I8
    number: I8  # attempt, from 0
    outcome: I8
    client: I8
    channel: I8
    is_open: I8  # whether the client awaits the answer
    is_left: I8  # whether the client has left
    group: I8  # thread that awaits the answers of a group, if in one
    group_open: I8  # of a group that it awaits: answers to come
    group_worst: I8  # of a group that it awaits: worst outcome so far
    job: I8
    item: I8
    session: I8
    request: I8
    order: I8  # of start among running work
    key: U8
    bits_up: F8
    sent_s: F8
    wait_s: F8
    since: F8  # when it began to queue
    value: F8  # attained service or bits at which it ends
    deadline: F8  # of a call


class Holding(Struct):
    """A place of a thread for a token it holds."""

    pool: I8


class Binding(Struct):
    """A place of a thread for a server it uses; linked in order of arrival."""

    server: I8
    next: I8
    prev: I8


class Level(Struct):
    """Exact time integrals of one station in the present interval."""

    busy: F8
    queue: F8
    capacity: F8
    last: F8  # integrated up to here
    busy_area: F8
    queue_area: F8
    capacity_area: F8
    queue_max: F8
    age: F8  # longest wait of a first in the queue who left it
    busy_total: F8  # integrals of closed intervals
    capacity_total: F8
    arrivals: I8
    departures: I8
    kind: I8  # of station, to find the first in its queue
    station: I8


class LevelRow(Struct):
    """One level in one closed interval."""

    from_s: F8
    to_s: F8
    capacity_area: F8
    busy_area: F8
    queue_area: F8
    queue_max: F8
    age: F8
    arrivals: F8
    departures: F8


class Pool(Struct):
    """Tokens with a queue of threads."""

    level: I8
    head: I8
    tail: I8
    capacity: F8
    capacity_of_one: F8
    queue_limit: F8
    queue_limit_of_one: F8


class Processor(Struct):
    """Cores; the running work is a pairing heap of threads."""

    level: I8
    timer: I8
    shares: I8  # whether processor sharing, else first come, first served
    root: I8
    head: I8  # of the queue, first come, first served
    tail: I8
    n: I8  # pieces in service
    count: I8  # pieces started so far
    cores: F8
    speed: F8
    rate: F8  # at which each piece in service attains work
    attained: F8
    since: F8
    timer_value: F8  # what the timer stands for
    timer_rate: F8


class Server(Struct):
    """One server of a tier, or all of a tier as one."""

    tier: I8
    index: I8
    pool: I8
    processor: I8
    is_up: I8
    units: I8
    head: I8  # bindings of those that are lost with it
    tail: I8


class Cell(Struct):
    """An element of a list of indices."""

    value: I8


class Tier(Struct):
    """Servers and their balancer, and what scales them."""

    balancing: I8
    first_server: I8
    n_servers: I8
    first_up: I8  # in the list of servers that are up
    n_up: I8
    first_unit: I8  # in the list of which fault each single server is lost by
    n_units: I8  # servers it may have at most
    in_service: I8
    cores: I8
    turn: I8
    first_attached: I8  # in the list of pools that every server has
    n_attached: I8
    is_watched: I8  # whether requests can be lost with a server
    timer: I8
    min_servers: I8
    max_servers: I8
    booting: I8
    target_utilisation: F8
    period_s: F8
    boot_s: F8
    cooldown_s: F8
    changed_at: F8
    busy_before: F8
    capacity_before: F8


class Link(Struct):
    """A link shared max-min fair by classes of uploads."""

    level: I8
    timer: I8
    first_flow: I8
    n_flows: I8
    nominal: F8
    bandwidth: F8
    since: F8
    count: I8


class Flow(Struct):
    """Uploads with one own rate; a pairing heap of threads."""

    link: I8
    root: I8
    n: I8
    cap: F8
    rate: F8
    sent: F8


class Gateway(Struct):
    """A service of somebody else."""

    pool: I8
    burst: I8
    is_down: I8
    timeout_s: F8  # infinite without
    rate_limit_per_s: F8  # infinite without
    tokens: F8
    filled_at: F8
    slowness: F8
    silent_until: F8


class Job(Struct):
    """A queue of items and its ticks."""

    level: I8
    timer: I8
    program: I8
    head: I8
    tail: I8
    batch_head: I8
    batch_tail: I8
    queued: I8
    batched: I8
    running: I8
    workers: I8
    batch: I8
    skip_if_running: I8
    retries: I8
    is_stopped: I8
    first_following: I8  # in the list of jobs
    n_following: I8
    offset_s: F8
    period_s: F8
    ticks: I8


class Item(Struct):
    """A piece of background work."""

    next: I4
    tries: I4
    session: I4  # that awaits it, if any; NONE of a free item
    dossier: I4  # that it synchronises, if any; NONE of a free item
    key: U8
    since: F8


class Op(Struct):
    """A row of a program."""

    code: I8
    station: I8  # pool, tier, gateway or link
    holding: I8  # place of the token
    binding: I8  # place of the server
    is_guest: I8  # whether a processor is used without a worker
    is_optional: I8
    family: I8  # of the duration; NONE without
    slot: I8  # of its random number; NONE when constant
    coin: I8  # slot of the error coin; NONE without
    mean: F8  # or the constant; mu of a log-normal
    sigma: F8
    error_share: F8


class Program(Struct):
    """Operations of an endpoint or of a job's item, and what follows from them."""

    first_op: I8
    n_holdings: I8
    n_bindings: I8
    first_queue: I8  # in the list of jobs
    n_queues: I8
    files_dossier: I8


class Client(Struct):
    """How clients behave."""

    family: I8  # of patience; NONE for the patient
    retries: I8
    first_pause: I8  # in the list of pauses by attempt
    mean: F8
    sigma: F8
    jitter: F8


class Real(Struct):
    """An element of a list of numbers."""

    value: F8


class Channel(Struct):
    """How clients reach the portal."""

    rank: I8  # of its rate among all rates
    round_trip_s: F8


class Moment(Struct):
    """A moment at which something breaks or is mended."""

    at_s: F8
    until_s: F8
    factor: F8
    kind: I8
    is_strike: I8
    target: I8
    servers: I8
    fault: I8


class Session(Struct):
    """A session in memory and how it went."""

    arrival_s: F8
    end_s: F8
    first_request: I8
    stop_request: I8
    service: I4
    client: I4
    channel: I4
    syncing: I4
    open: I4  # itself, and those of its requests that are worked on for nobody
    attempts: I4
    ending: I4
    number: I4  # in the trace


class Request(Struct):
    """A request in memory and how its first attempt went."""

    key: U8
    think_s: F8
    bits_up: F8
    program: I4
    flags: I4
    sent_s: F8
    wait_s: F8
    response_s: F8
    outcome: I8  # NONE when there was no attempt


class Row(Struct):
    """How an attempt after the first went."""

    request: I8
    number: I4
    outcome: I4
    sent_s: F8
    wait_s: F8
    response_s: F8


class Dossier(Struct):
    """A dossier on file."""

    session: I4  # its number in the trace
    step: I4
    service: I4
    number: I4  # attempt, from 0
    pending: I4
    submitted_s: F8
    acknowledged_s: F8
    synced_s: F8


class World(Struct):
    """Everything: the clock, the size of things, and where they lie."""

    now: F8
    seq: I8
    wants: I8  # what the caller must provide before it can go on
    running: I8  # thread that was broken off for it
    is_arriving: I8  # whether the next session is looked for
    is_due: I8  # whether the next session has been waited for
    is_started: I8
    is_over: I8

    nodes: Address
    heap_size: I8
    events: Address
    first_free_event: I8
    n_events: I8  # in the heap and in later slots
    event_limit: I8
    slots: Address
    n_slots: I8
    slots_per_s: F8
    slot: I8  # the present one, counted from time 0
    timers: Address
    urgent: Address
    urgent_size: I8
    urgent_head: I8
    urgent_count: I8
    urgent_limit: I8
    due: Address
    due_size: I8
    due_head: I8
    due_count: I8
    due_limit: I8

    threads: Address
    first_free: I8
    n_free: I8
    least_free: I8
    n_fixed: I8  # handles of stations; those of threads follow
    holdings: Address
    holding_stride: I8
    bindings: Address
    binding_stride: I8

    levels: Address
    n_levels: I8
    level_rows: Address
    n_level_rows: I8
    most_level_rows: I8
    interval_s: F8
    interval: I8
    interval_end: F8

    pools: Address
    processors: Address
    servers: Address
    up: Address
    units: Address
    tiers: Address
    n_tiers: I8
    attached: Address
    links: Address
    flows: Address
    gateways: Address
    jobs: Address
    n_jobs: I8
    items: Address
    first_free_item: I8
    n_free_items: I8
    least_free_items: I8
    ops: Address
    programs: Address
    queues: Address
    clients: Address
    pauses: Address
    channels: Address
    moments: Address
    n_moments: I8
    next_moment: I8
    first_tier_timer: I8
    first_job_timer: I8
    first_processor_timer: I8
    first_link_timer: I8

    sessions: Address
    n_sessions: I8
    next_session: I8  # the next to arrive
    is_last: I8  # whether none comes after those in memory
    requests: Address
    rows: Address
    n_rows: I8
    most_rows: I8
    dossiers: Address
    n_dossiers: I8
    most_dossiers: I8

    in_progress: I8
    has_arrived: I8
    duration_s: F8
    stop_s: F8
