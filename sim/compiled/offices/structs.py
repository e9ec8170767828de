"""What the offices' kernel keeps in memory: one structure for each thing of the model.

As in :mod:`sim.compiled.structs`: rows of NumPy arrays, whose addresses the :class:`World` knows.
"""

from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from sim.compiled.structs import F8, I4, I8, U8, Address, Struct

U1 = Annotated[int, "u1"]
U4 = Annotated[int, "u4"]
PerState = Annotated[NDArray[np.uint16], "11u2"]
"""A count for each state that can be left."""
PerWait = Annotated[NDArray[np.float64], "5f8"]
"""Time for each of those whom a dossier waits for."""


class Cell(Struct):
    """A whole number of a list."""

    value: I4


class Real(Struct):
    """A number of a column."""

    value: F8


class Small(Struct):
    """A small number of a column."""

    value: U1


class Node(Struct):
    """An event, or a dossier that waits, in a heap."""

    key: F8  # its time, or its rank
    order: U4  # of scheduling, or of coming; decides among equal keys
    what: I4  # whose timer, or which dossier


class Heap(Struct):
    """Where the nodes of a heap lie."""

    first: I8
    size: I8
    room: I8


class Entry(Struct):
    """An entry of the ring of dossiers that go on now."""

    dossier: I8


class Duration(Struct):
    """A distribution of durations; ``mean`` of a log-normal is the mean of the log."""

    family: I8
    mean: F8
    sigma: F8


class Span(Struct):
    """A stretch of open time of a calendar."""

    opens: F8
    closes: F8
    worked: F8  # working time from the calendar's start to the opening


class Opening(Struct):
    """When officers come."""

    at_s: F8
    day: I8  # column of ``present``


class Calendar(Struct):
    """When offices are open."""

    first_span: I8
    n_spans: I8
    from_s: F8
    to_s: F8
    total_s: F8  # of working time
    midnight_s: F8
    next_opening: I8
    stop_opening: I8
    first_team: I8  # its teams, in ``teams_at``
    stop_team: I8
    first_boundary: I8  # working time at the ends of intervals, in ``boundaries``
    span: I8  # the last that has begun, counted from the first; NONE before it
    at: F8  # the moment that ``worked`` is of
    worked: F8


class Office(Struct):
    """An office."""

    calendar: I8
    level: I8


class Role(Struct):
    """The same team in every office of a group."""

    is_due_first: I8
    interruptions_per_hour: F8
    length: I8  # of an interruption, in ``durations``
    level: I8


class Team(Struct):
    """One queue, and as many servers as officers are present."""

    calendar: I8
    role: I8
    office_level: I8
    role_level: I8
    present: I8
    at_work: I8
    queue: I8  # its heap
    last: I8  # dossier begun last, of those in hand


class Procedure(Struct):
    """A procedure."""

    domain: I8
    limit_s: F8
    has_fee: I8


class Domain(Struct):
    """How dossiers of a domain are examined; shares are of all, one upon the other."""

    effort: F8
    refused: F8
    incomplete: F8
    consulted: F8


class StateInfo(Struct):
    """What a state is."""

    waits_for: I8
    task: I8  # row of ``team_of``; NONE without
    event: I8  # the only one that can end its task; NONE if there are several
    is_decision: I8
    level: I8


class Dossier(Struct):
    """A dossier, in 128 bytes: two lines of a cache."""

    key: U8
    stamp: I8  # order of scheduling of its event that counts
    since: F8  # when it began to wait as it does
    due_s: F8  # its term; until it is accepted, of its reception
    work_s: F8  # that is left of the task
    waited: PerWait
    reception: I4
    office: I4
    procedure: I4
    team: I4
    visit: I4  # row of its present task, NONE before it is begun
    visits: PerState
    state: U1
    filing: U1
    event: U1  # that ends the state, if it is known yet
    sent_back: U1
    is_accepted: U1
    notes: U1  # LATE_NOTICE, APOLOGISED


class Place(Struct):
    """A dossier's place in a team's queue, and among those in hand."""

    rank: F8
    number: I8  # order of coming; decides among equal ranks
    before: I4  # who was begun before, of those in hand
    after: I4


class Row(Struct):
    """A row of the intake or the publication."""

    key: U8
    since: F8  # when it was first queued
    dossier: I4
    sync: I4
    next: I4
    tries: I4  # in all
    tries_left: I4
    given_up: I4  # how often


class Sync(Struct):
    """A queue that a job of the portal empties."""

    is_present: I8
    period_s: F8
    offset_s: F8
    batch: I8
    retries: I8
    error_share: F8
    resend: I8  # in ``durations``
    level: I8
    next_stop: I8
    last_stop: I8
    is_stopped: I8
    ticks: I8
    head: I8
    tail: I8
    queued: I8


class Stop(Struct):
    """When a job is stopped, or goes on."""

    at_s: F8
    is_stopped: I8


class Level(Struct):
    """What a station does at present, and its integrals over the present interval."""

    calendar: I8  # NONE: neither busy nor capacity
    sync: I8  # whose queue's age counts; NONE of all others
    interval: I8
    end: F8
    last: F8
    worked: F8  # working time at ``last``
    queue: F8
    busy: F8
    capacity: F8
    queue_area: F8
    busy_area: F8
    capacity_area: F8
    queue_max: F8
    age: F8
    arrivals: I8
    departures: I8


class LevelRow(Struct):
    """A closed interval of a station."""

    queue_area: F8
    busy_area: F8
    capacity_area: F8
    queue_max: F8
    age: F8
    arrivals: I8
    departures: I8


class World(Struct):
    """Everything, and where its parts lie."""

    now: F8
    end_s: F8
    seq: I8
    wants: I8
    is_started: I8
    is_over: I8
    nodes: Address
    nodes_end: I8
    most_nodes: I8
    heaps: Address
    ring: Address
    ring_head: I8
    ring_count: I8
    ring_size: I8
    most_at_once: I8  # events, visits or rows that one event may bring

    failed_calendar: I8
    failed_from_s: F8
    failed_work_s: F8

    arrivals: Address
    n_dossiers: I8
    next_dossier: I8
    stop_arriving: I8
    comings: I8
    dossiers: Address
    places: Address
    synced_s: Address
    received_s: Address
    accepted_s: Address
    decided_s: Address
    closed_s: Address

    n_visits: I8
    most_visits: I8
    visit_dossier: Address
    visit_state: Address
    visit_team: Address
    visit_ready_s: Address
    visit_started_s: Address
    visit_ended_s: Address

    n_calendars: I8
    calendars: Address
    spans: Address
    openings: Address
    boundaries: Address
    teams_at: Address
    teams: Address
    offices: Address
    roles: Address
    present: Address
    n_days: I8
    team_of: Address
    n_domains: I8
    n_tasks: I8
    procedures: Address
    domains: Address
    durations: Address
    states: Address
    transitions: Address

    refused_at_reception: F8
    incomplete_at_reception: F8
    unpaid_share: F8
    sent_back_share: F8
    sent_back_max: I8
    withdrawn_share: F8
    citizen_limit_s: F8
    repeat_factor: F8
    cut_off_s: F8
    is_restarted: I8
    notice_s: F8
    supplements_max: I8
    apology_s: F8

    syncs: Address
    stops: Address
    rows: Address
    first_free_row: I8
    n_free_rows: I8

    levels: Address
    n_levels: I8
    n_intervals: I8
    interval_s: F8
    level_rows: Address
