"""Background work in the fluid limit: items that arrive, items worked off, backlog."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sim.analytic.flows import program_enqueues
from sim.analytic.stations import job_capacity_per_s
from sim.analytic.traffic import Matrix, Traffic
from sim.scenario.portal import Portal


@dataclass(frozen=True, slots=True)
class Work:
    """Items of one job per interval, in the fluid limit."""

    items_per_s: Matrix
    done_per_s: Matrix
    backlog_max: float
    backlog_end: float


def works_of_jobs(portal: Portal, traffic: Traffic, item_s: Mapping[str, float]) -> dict[str, Work]:
    """Return the work of every job: items of requests, and of jobs before it."""
    works: dict[str, Work] = {}
    lengths = np.diff(traffic.edges_s)
    requests = traffic.requests_per_s

    def work_of(name: str) -> Work:
        if name in works:
            return works[name]
        items = np.zeros(len(lengths))
        for i, endpoint in enumerate(traffic.endpoints):
            program = portal.endpoints[endpoint].program
            items += requests[:, i] * program_enqueues(program).get(name, 0)
        for before, job in portal.jobs.items():
            passed_on = program_enqueues(job.program).get(name, 0) + (job.then == name)
            if passed_on:
                items += passed_on * work_of(before).done_per_s
        job = portal.jobs[name]
        capacity = job_capacity_per_s(job, item_s[name])
        works[name] = _fluid_work(items, lengths, capacity, job.initial_queue)
        return works[name]

    for name in portal.jobs:
        work_of(name)
    return {name: works[name] for name in portal.jobs}


def _fluid_work(items: Matrix, lengths: Matrix, capacity: float, backlog: float) -> Work:
    """Work off arrivals and backlog at most at the capacity, interval by interval."""
    done, most = np.zeros(len(items)), backlog
    for i, (per_s, length_s) in enumerate(zip(items.tolist(), lengths.tolist(), strict=True)):
        present = backlog + per_s * length_s
        worked_off = min(present, capacity * length_s)
        backlog = present - worked_off
        most = max(most, backlog)
        done[i] = worked_off / length_s
    return Work(items, done, most, backlog)
