"""What a run answers in words and tables: verdicts, warnings, figures of every group, cost."""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sim.analytic.flows import item_time_s
from sim.analytic.stations import job_capacity_per_s
from sim.metrics.checks import check_conservation
from sim.metrics.estimates import Estimate, estimate_all
from sim.metrics.summary import regime_sentences
from sim.metrics.targets import TargetResult, judged
from sim.report.page import Html, bullets, details, join, marked, paragraph, preformatted, table
from sim.report.verdict import ANSWERS, SYMBOLS, distrust, headline
from sim.report.wording import (
    bound,
    duration,
    interval,
    metric_value,
    money,
    number,
    plural,
    share,
    topology,
    window,
)
from sim.results import Run
from sim.scenario.metric_names import metric_groups
from sim.scenario.scenario import Scenario

MONTHS_PER_YEAR = 12
HOUR_S = 3600.0
NOT_OK = ("rejected_share", "timed_out_share", "failed_share", "abandoned_share")

_REQUESTS = (
    *("response_s.mean", "response_s.p50", "response_s.p95", "response_s.p99"),
    *("rate_per_s", "ok_share", *NOT_OK),
)
_BY_KIND: dict[str, tuple[str, ...]] = {
    "requests": _REQUESTS,
    "journey": ("duration_s.p50", "completed_share", "rate_per_s"),
    "station": ("utilisation.mean", "utilisation.max", "queue.max"),
    "job": ("utilisation.mean", "queue.max", "queue_age_s.max"),
    "dossiers": ("per_s", "sync_s.p50", "sync_s.p95", "synced_share", "duplicate_share"),
    "offices": (
        *("on_time_share", "late_reception_share", "late_by_sync_share"),
        *("lead_s.p50", "lead_s.p90", "backlog_end", "overdue_end"),
    ),
    "role": ("utilisation.mean", "queue.max"),
    "office": (),
    "state": (),
    "outbox": ("queue.max", "queue_age_s.max"),
}


@dataclass(frozen=True, slots=True)
class Answers:
    """A run with everything estimated that a report tells of it.

    Attributes
    ----------
    run : Run
        The run.
    label : str
        How it is called in a report of several.
    estimates : dict of str to Estimate
        By metric.
    results : list of TargetResult
        Verdicts on the targets.
    """

    run: Run
    label: str
    estimates: dict[str, Estimate]
    results: list[TargetResult]

    @property
    def scenario(self) -> Scenario:
        """The scenario that was run."""
        return self.run.scenario

    def value(self, metric: str) -> str:
        """Return a metric's value in words."""
        return metric_value(metric, self.estimates[metric].value)


def answers_of(run: Run, label: str) -> Answers:
    """Estimate everything a report tells of a run; its records are read once."""
    scenario = run.scenario
    wanted = [
        f"{group}.{quantity}"
        for group, kind in metric_groups(scenario).items()
        for quantity in _BY_KIND[kind]
    ]
    wanted += [target.metric for target in scenario.targets]
    estimates = estimate_all(run, scenario, dict.fromkeys(wanted))
    return Answers(run, label, estimates, judged(scenario.targets, estimates))


def answer_html(answers: Answers) -> Html:
    """Return the answer in one sentence, and the targets with their verdicts."""
    head = headline(answers.results, answers.run.manifest.trust)
    word, colon, rest = head.text.partition(":")
    sentence = Html(f"<b>{join([word])}</b>") + join([colon + rest])
    parts = [paragraph(Html(sentence), f"answer {head.answer}")]
    if answers.results:
        rows = [_target_row(result) for result in answers.results]
        percent = share(answers.scenario.execution.confidence)
        columns = ("", "metric", ">value", f">{percent} interval", "wanted", "why")
        parts.append(table(columns, rows))
    warnings = list(warnings_of(answers))
    if warnings:
        parts.append(bullets(warnings, "warnings"))
    return join(parts)


def warnings_of(answers: Answers) -> Iterator[str]:
    """Yield everything a reader must know before trusting the answer."""
    run, scenario = answers.run, answers.scenario
    for reason in distrust(run.manifest.trust):
        yield f"Not to be trusted: {reason}."
    if run.manifest.status == "interrupted":
        yield f"Interrupted: {plural(len(run.replications), 'replication')} finished."
    elif (
        run.manifest.source == "simulated"
        and len(run.replications) < scenario.execution.replications
    ):
        yield (
            f"{plural(len(run.replications), 'replication')} instead of the scenario's "
            f"{scenario.execution.replications}."
        )
    for sentence in regime_sentences(answers.estimates):
        yield f"Two regimes, {sentence}."
    for flaw in _conservation(run):
        yield f"The records contradict themselves, do not use them: {flaw}."
    bare = [result.target.metric for result in answers.results if result.estimate.reason]
    if bare:
        yield f"Too few data for an interval of {', '.join(bare)}: the table says why."


def endpoints_html(answers: Answers) -> Html:
    """Return the figures of every group and endpoint as a table."""
    portal = answers.scenario.portal
    groups = dict.fromkeys(spec.group for spec in portal.endpoints.values())
    rows = [
        [
            name,
            *(
                answers.value(f"{name}.{quantity}")
                for quantity in (*_REQUESTS[:4], "rate_per_s", "ok_share")
            ),
        ]
        for name in ("all", *groups, *(name for name in portal.endpoints if name not in groups))
    ]
    columns = ("requests", ">mean", ">p50", ">p95", ">p99", ">rate", ">answered well")
    return details("All numbers", table(columns, rows))


def journeys_html(answers: Answers) -> Html:
    """Return rate, duration and completion of every journey as a table."""
    rows = []
    for name in answers.scenario.journeys:
        group = f"journey_{name}"
        metrics = [f"{group}.{quantity}" for quantity in _BY_KIND["journey"]]
        lasts, completed, rate = (answers.value(metric) for metric in metrics)
        rows.append([name, rate, lasts, completed])
    return table(("journey", ">sessions", ">median length", ">completed"), rows)


def most_used_sentence(answers: Answers, station: str) -> str:
    """Return a sentence on the station used most."""
    mean, most = (answers.estimates[f"{station}.utilisation.{which}"] for which in ("mean", "max"))
    known = "" if mean.low is None else f" (interval {interval(mean)})"
    return (
        f"Used most: {station}, {share(mean.value)} of its capacity on average{known}, at most "
        f"{share(most.value)} over {duration(answers.scenario.execution.level_interval_s)}."
    )


def dossiers_html(answers: Answers) -> Html:
    """Return what became of the dossiers."""
    estimates = answers.estimates
    rows = [
        ["filed", answers.value("dossiers.per_s"), interval(estimates["dossiers.per_s"])],
        ["synchronised within, half of them", *_told(answers, "dossiers.sync_s.p50")],
        ["synchronised within, 95 % of them", *_told(answers, "dossiers.sync_s.p95")],
        ["synchronised before the run ended", *_told(answers, "dossiers.synced_share")],
        ["filed twice", *_told(answers, "dossiers.duplicate_share")],
    ]
    return table(("dossiers", ">value", ">interval"), rows)


def jobs_html(scenario: Scenario, items: Mapping[str, float]) -> Html:
    """Return how many items came to every job, and how many it can work off.

    Parameters
    ----------
    scenario : Scenario
        The scenario that was run.
    items : mapping of str to float
        Items that came to each job in the window.
    """
    rows = []
    for name, job in scenario.portal.jobs.items():
        came_per_s = items.get(name, 0.0) / scenario.window.duration_s
        can_per_s = job_capacity_per_s(job, item_time_s(name, scenario.portal))
        per_h = [number(per_s * HOUR_S) for per_s in (came_per_s, can_per_s)]
        rows.append([name, *per_h, share(came_per_s / can_per_s)])
    columns = ("background job", ">items came, per h", ">can do, per h", ">used")
    return table(columns, rows)


def cost_html(scenario: Scenario) -> Html:
    """Return what the capacity costs."""
    budget = scenario.budget
    if budget is None:
        return paragraph("The scenario states no budget.")
    rows, total = [], 0.0
    for name, tier in scenario.portal.tiers.items():
        cores = tier.servers * tier.cores
        total += cores * budget.core_vnd_per_month
        price = money(cores * budget.core_vnd_per_month)
        rows.append([name, f"{tier.servers:,}", f"{tier.cores:,}", f"{cores:,}", price])
    part = share(total * MONTHS_PER_YEAR / budget.total_vnd_per_year)
    sentence = (
        f"{money(total)} a month, {money(total * MONTHS_PER_YEAR)} a year: {part} of the yearly "
        f"{money(budget.total_vnd_per_year)} for {plural(budget.projects, 'project')}."
    )
    columns = ("tier", ">servers", ">cores each", ">cores", ">a month")
    return join([paragraph(sentence), table(columns, rows)])


def provenance_html(run: Run) -> Html:
    """Return where the numbers come from, and the scenario as it was run."""
    manifest = run.manifest
    command = ["hoso", "run", run.scenario.name]
    for override in manifest.overrides:
        command += ["--set", override]
    versions = ", ".join(f"{name} {version}" for name, version in manifest.versions.items())
    rows = [
        ["run", run.name],
        ["source", manifest.source],
        ["command", shlex.join(command)],
        ["scenario", f"{run.scenario.name}, digest {manifest.scenario_digest}"],
        ["seed", str(manifest.seed)],
        ["replications", ", ".join(map(str, manifest.replications))],
        *([name, f"{run.table(name, ['step']).num_rows:,}"] for name in ("requests", "dossiers")),
        ["made", f"{manifest.started:%Y-%m-%d %H:%M} UTC, in {duration(manifest.duration_s)}"],
        ["versions", f"hoso {manifest.hoso_version}, {versions}"],
        ["machine", f"{manifest.host.platform}, {plural(manifest.host.cpus, 'processor')}"],
    ]
    if manifest.trust is not None:
        rows.append(["trust", str(manifest.trust)])
    resolved = details("The scenario as it was run", preformatted(_yaml(run.scenario)))
    return join([table(("", ""), rows), resolved])


def introduction_html(scenario: Scenario) -> Html:
    """Return the question in words."""
    city = scenario.city
    inhabitants = f", {city.population:,} inhabitants" if city.population else ""
    parts = [paragraph(scenario.description)] if scenario.description else []
    where = f"{city.name}{inhabitants}; {topology(scenario)}; {window(scenario)}."
    return join([*parts, paragraph(where, "soft")])


def _target_row(result: TargetResult) -> list[str]:
    verdict, metric = result.verdict, result.target.metric
    return [
        marked(f"{SYMBOLS[verdict.answer]} {ANSWERS[verdict.answer]}", verdict.answer),
        metric,
        metric_value(metric, result.estimate.value),
        interval(result.estimate),
        bound(result.target),
        verdict.reason if verdict.answer == "cannot_tell" else "",
    ]


def _conservation(run: Run) -> list[str]:
    """Return the identities the records break: as found when the run was made, or checked now."""
    found = run.summary.get("conservation")
    return [str(flaw) for flaw in found] if isinstance(found, list) else check_conservation(run)


def _told(answers: Answers, metric: str) -> tuple[str, str]:
    return answers.value(metric), interval(answers.estimates[metric])


def _yaml(scenario: Scenario) -> str:
    import yaml

    content = scenario.model_dump(mode="json", exclude_defaults=True)
    return yaml.safe_dump(content, allow_unicode=True, sort_keys=False, width=100)
