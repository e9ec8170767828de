"""What `hoso import event-log` does with a log once it is read."""

import datetime as dt
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sim.cli.terminal import console, progress_bar

if TYPE_CHECKING:
    from sim.demand.imports.event_log import EventLogImport, HoldOut, Learned, Phase
    from sim.demand.imports.event_log.choosing import Choice
    from sim.demand.imports.event_log.model import FittedModel


@dataclass(frozen=True, slots=True)
class LogQuestion:
    """What is asked of a log.

    Attributes
    ----------
    tasks, shares : mapping
        What activities mean in a scenario.
    offices : str or None
        Group of offices that gets the learned hours.
    model, pictures : Path or None
        Where to write them.
    split, since : datetime or None
        Bounds of the hold-out.
    within_h : float
        Term to judge by, working hours.
    phases : sequence of str
        Phases as written.
    seed, replications : int
        Of the hold-out.
    """

    tasks: Mapping[str, Sequence[str]]
    shares: Mapping[str, Sequence[str]]
    offices: str | None
    model: Path | None
    pictures: Path | None
    split: dt.datetime | None
    since: dt.datetime | None
    within_h: float
    phases: Sequence[str]
    seed: int
    replications: int


def answer(
    imported: "EventLogImport", question: LogQuestion, show_report: Callable[[], None]
) -> str:
    """Learn from a log, show and write what was asked for, and return the override.

    Parameters
    ----------
    imported : EventLogImport
        The log.
    question : LogQuestion
        What is asked of it.
    show_report : callable
        Shows what was read.
    """
    from sim.demand.imports.event_log import (
        Meaning,
        activity_table,
        backoffice_yaml,
        default_phases,
        hand_over_table,
        learn,
        learned_lines,
        parse_phases,
    )

    log = imported.log
    meaning = Meaning(question.tasks, question.shares, question.offices)
    meaning.check(log.activities)
    phases = parse_phases(question.phases, log.activities) or default_phases(
        has_starts=log.has_starts
    )
    show_report()
    learned = learn(log)
    terminal = console()
    terminal.print(activity_table(learned))
    if len(learned.facts.hand_over.names) > 1:
        terminal.print(hand_over_table(learned.facts.hand_over))
    for line in learned_lines(learned):
        terminal.print(line, markup=False)
    held_out = None if question.split is None else _judge(imported, question, phases)
    if question.model is not None:
        _write_model(imported, learned, question, phases, held_out)
    if question.pictures is not None:
        _draw(imported, learned, held_out, question.pictures)
    office = backoffice_yaml(log.source, learned.facts, learned.week, meaning)
    override = imported.override
    if office and override.endswith("{}\n"):
        override = override.removesuffix("{}\n")
    return override + office


def _judge(
    imported: "EventLogImport", question: LogQuestion, phases: "tuple[Phase, ...]"
) -> "HoldOut":
    from sim.demand.imports.event_log import EPOCH, findings, hold_out, hold_out_table, sampled

    assert question.split is not None
    since_s = float("-inf")
    if question.since is not None:
        since_s = (question.since - EPOCH).total_seconds()
    log = sampled(imported.log, question.seed)
    _say_sampled(imported, len(log.cases))
    with progress_bar("judging") as progress:
        found = hold_out(
            log,
            split_s=(question.split - EPOCH).total_seconds(),
            phases=phases,
            within_s=question.within_h * 3600.0,
            since_s=since_s,
            seed=question.seed,
            replications=question.replications,
            progress=progress,
        )
    terminal = console()
    terminal.print(hold_out_table(found))
    for text in findings(found, phases):
        terminal.print(f"- {text}", markup=False)
    return found


def _write_model(
    imported: "EventLogImport",
    learned: "Learned",
    question: LogQuestion,
    phases: "tuple[Phase, ...]",
    held_out: "HoldOut | None",
) -> None:
    from sim.demand.imports.event_log import fit_all, model_document, sampled
    from sim.results import written_whole

    assert question.model is not None
    log = sampled(imported.log, question.seed)
    _say_sampled(imported, len(log.cases))
    fitted: tuple[FittedModel, Choice]
    with progress_bar("fitting") as progress:
        fitted = fit_all(log, phases, learned.week, question.seed, progress)
    document = model_document(imported, learned, fitted, held_out)
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, indent=1)
    with written_whole(question.model) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    click.echo(f"model: {question.model}")


def _say_sampled(imported: "EventLogImport", n_cases: int) -> None:
    if n_cases < imported.n_cases:
        click.echo(f"hoso: the model uses {n_cases:,} cases, taken at random", err=True)


def _draw(
    imported: "EventLogImport", learned: "Learned", held_out: "HoldOut | None", folder: Path
) -> None:
    from sim.report.learned import write_pictures

    for path in write_pictures(imported, learned.week, held_out, folder):
        click.echo(f"picture: {path}")
