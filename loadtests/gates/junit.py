"""The gate's answer as JUnit XML, which every CI system shows: one test case per target."""

import re
from collections.abc import Iterator
from xml.etree import ElementTree

from loadtests.gates.slowdown import Slowdown
from loadtests.gates.verdict import GateResult
from sim.metrics import TargetResult, Verdict
from sim.report.wording import bound, interval, metric_value

# source: XML 1.0, production 2: every other character makes a file no parser reads
_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_CHILDREN = ("failure", "error", "skipped")


def to_junit(result: GateResult) -> str:
    """Return the XML document.

    A missed target is a failure, an undecided one is skipped with its reason. A run that cannot be
    judged is an error of the first cases, and its targets are skipped.
    """
    run = result.run
    suite = ElementTree.Element(
        "testsuite",
        name=f"hoso gate {run.scenario.name}",
        timestamp=f"{run.manifest.started:%Y-%m-%dT%H:%M:%S}",
        time=f"{run.manifest.duration_s:.3f}",
    )
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in _properties(result):
        ElementTree.SubElement(properties, "property", name=name, value=_text(value))
    suite.extend(_cases(result))
    counts = {
        f"{child}s" if child != "skipped" else child: str(len(suite.findall(f"testcase/{child}")))
        for child in _CHILDREN
    }
    suite.attrib |= {"tests": str(len(suite.findall("testcase"))), **counts}
    suites = ElementTree.Element("testsuites", name="hoso gate", time=suite.attrib["time"])
    suites.attrib |= {key: suite.attrib[key] for key in ("tests", "failures", "errors")}
    suites.append(suite)
    ElementTree.indent(suites)
    body = ElementTree.tostring(suites, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def _properties(result: GateResult) -> Iterator[tuple[str, str]]:
    manifest = result.run.manifest
    yield "run", result.run.name
    yield "source", manifest.source
    yield "scenario_digest", manifest.scenario_digest
    yield "hoso_version", manifest.hoso_version
    yield "outcome", result.outcome
    for name, figure in result.trust.figures.items():
        yield f"trust.{name}", str(figure)


def _cases(result: GateResult) -> Iterator[ElementTree.Element]:
    group = f"hoso.{result.run.scenario.name}"
    trust = _case(group, "the measurement can be trusted")
    if not result.trust.is_given:
        _say(trust, "error", "untrustworthy", "\n".join(result.trust.reasons))
    yield trust
    complete = _case(group, "the run is complete")
    if not result.is_complete:
        _say(complete, "error", "interrupted", "the run was interrupted")
    yield complete
    is_judged = result.trust.is_given and result.is_complete
    for target in result.targets:
        case = _case(group, f"{target.target.metric} {bound(target.target)}")
        _say_verdict(case, target.verdict, is_judged, _details(target))
        yield case
    for slowdown in result.against.slowdowns if result.against else ():
        name = f"{slowdown.metric} at most {slowdown.limit:g} times the base"
        case = _case(group, name)
        _say_verdict(case, slowdown.verdict, is_judged, _ratio(slowdown))
        yield case


def _case(group: str, name: str) -> ElementTree.Element:
    return ElementTree.Element("testcase", classname=_text(group), name=_text(name), time="0")


def _say_verdict(
    case: ElementTree.Element, verdict: Verdict, is_judged: bool, details: str
) -> None:
    if not is_judged:
        ElementTree.SubElement(case, "skipped", message="the run cannot be judged")
    elif verdict.answer == "missed":
        _say(case, "failure", "missed", f"{verdict.reason}\n{details}")
    elif verdict.answer == "cannot_tell":
        message = _text(f"cannot tell: {verdict.reason}")
        ElementTree.SubElement(case, "skipped", message=message)
    ElementTree.SubElement(case, "system-out").text = _text(details)


def _say(case: ElementTree.Element, tag: str, kind: str, text: str) -> None:
    first = text.partition("\n")[0]
    ElementTree.SubElement(case, tag, type=kind, message=_text(first)).text = _text(text)


def _details(result: TargetResult) -> str:
    estimate = result.estimate
    value = metric_value(result.target.metric, estimate.value)
    return (
        f"{result.target.metric} is {value}, {estimate.confidence:.0%} interval "
        f"{interval(estimate)}, from {estimate.n_requests:,} observations"
    )


def _ratio(slowdown: Slowdown) -> str:
    return f"{slowdown.metric} is {slowdown.ratio:.4g} times the base"


def _text(text: str) -> str:
    """Return a text without what XML cannot hold."""
    return _NO_XML.sub("\ufffd", text)
