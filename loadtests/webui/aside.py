"""Work beside Locust, in processes that it has not patched: drawing demand, judging, reporting.

``python -m loadtests.webui.aside TASK`` reads what it needs as JSON from its standard input and
writes its result as JSON; its standard error says in one line why there is none.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from pydantic import JsonValue

from loadtests.webui.figures import Stored
from loadtests.webui.wishes import Wish, order_of
from loadtests.work import LoadError, Order, Plan, load_order
from sim.exit_codes import MET, RUN_FAILED
from sim.results import ResultsError, Run, open_run
from sim.scenario.scenario import Scenario

REPORT = "report.html"


def prepared(wish: Wish, given: Order, authorisation: str | None) -> Order:
    """Return the order of a wish: :func:`loadtests.webui.wishes.order_of`, done aside."""
    folder = _aside(
        "order",
        {
            "wish": asdict(wish),
            "plan": given.plan.model_dump(mode="json"),
            "known": given.scenario.model_dump(mode="json"),
            "authorisation": authorisation,
        },
    )
    return load_order(Path(str(folder)))


def judged(run: Run) -> Stored:
    """Return what a run says."""
    told = _aside("judge", str(run.path))
    assert isinstance(told, dict)
    return Stored.from_json(told)


def report_of(run: Run) -> Path:
    """Return the report of a run; it is written where it is missing."""
    path = run.path / REPORT
    if not path.is_file():
        _aside("report", str(run.path))
    return path


def _aside(task: str, needed: JsonValue) -> JsonValue:
    """Do a task in a process of its own; raises what it said as :class:`LoadError`."""
    done = subprocess.run(
        [sys.executable, "-m", __name__, task],
        input=json.dumps(needed),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != MET:
        raise LoadError(done.stderr.strip() or f"{task}: its process ended with {done.returncode}")
    result: JsonValue = json.loads(done.stdout)
    return result


def _order(needed: JsonValue) -> JsonValue:
    assert isinstance(needed, dict)
    wish = needed["wish"]
    authorisation = needed["authorisation"]
    assert isinstance(wish, dict)
    order = order_of(
        Wish.from_json(wish),
        Plan.model_validate(needed["plan"]),
        Scenario.model_validate_json(json.dumps(needed["known"])),
        None if authorisation is None else str(authorisation),
    )
    return str(order.folder)


def _judge(needed: JsonValue) -> JsonValue:
    from loadtests.gates import judge_run

    run = open_run(Path(str(needed)))
    result = judge_run(run)
    return {
        "path": str(run.path),
        "is_trustworthy": result.trust.is_given,
        "reasons": list(result.trust.reasons),
        "answer": result.sentence,
    }


def _report(needed: JsonValue) -> JsonValue:
    from sim.report import write_report

    run = open_run(Path(str(needed)))
    return str(write_report([run], run.path / REPORT))


_TASKS: dict[str, Callable[[JsonValue], JsonValue]] = {
    "order": _order,
    "judge": _judge,
    "report": _report,
}


def main() -> int:
    """Do the task named on the command line."""
    try:
        result = _TASKS[sys.argv[1]](json.load(sys.stdin))
    except (LoadError, ResultsError) as error:
        sys.stderr.write(f"{error}\n")
        return RUN_FAILED
    sys.stdout.write(json.dumps(result))
    return MET


if __name__ == "__main__":
    sys.exit(main())
