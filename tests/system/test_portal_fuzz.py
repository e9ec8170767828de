"""The stand-in portal's whole interface, as it describes itself, called with drawn values.

Every drawn call is sent by a citizen, by an officer and by nobody: whatever is asked, the portal
answers as it declares and says nothing about its inside.
"""

import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy, one_of

with warnings.catch_warnings():  # what it imports warns of its own imports
    warnings.simplefilter("ignore")
    import schemathesis
    from schemathesis import GenerationMode
    from schemathesis.checks import not_a_server_error
    from schemathesis.core.failures import Failure, FailureGroup
    from schemathesis.specs.openapi.checks import content_type_conformance
    from starlette.testclient import TestClient

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:schemathesis")

CITIZEN, OFFICER = "c031090955555", "o0000"

EXAMPLES, MANY_EXAMPLES = 5, 60
"""Calls drawn of each operation: in every run, and in the long one."""

LEAK = re.compile(
    r"Traceback \(most recent|\bFile \"|site-packages|\.py\b|sqlalche|sqlite|psycopg|pydantic"
    r"|SELECT .+ FROM |INSERT INTO |UPDATE .+ SET |UNIQUE constraint|no such table|loadtests\.",
)
"""What only somebody who sees the inside would know."""


class Target(NamedTuple):
    """A portal by its description; its folder, values that are there, and who asks."""

    schema: Any
    data: str
    known: dict[str, object]
    senders: dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def target(
    rough_portal: Callable[..., Any],
    credentials: Callable[..., dict[str, str]],
    tmp_path_factory: Any,
) -> Iterator[Target]:
    """Give a portal where the citizen has a draft with a paper."""
    data = tmp_path_factory.mktemp("fuzzed")
    citizen, officer = credentials(CITIZEN), credentials(OFFICER)
    senders = {"a citizen": citizen, "an officer": officer, "nobody": {}}
    with rough_portal(data) as app:
        schema = schemathesis.openapi.from_asgi("/openapi.json", app)
        known = _filed(TestClient(app, headers=citizen))
        yield Target(schema, str(data), known, senders)


def _filed(client: Any) -> dict[str, object]:
    """Begin a draft; return values of path parameters that lead to it."""
    path = "/o/rest/v2/dossiers"
    service = client.get("/o/rest/v2/serviceinfos").json()["data"][0]["serviceCode"]
    dossier = client.post(path, data={"serviceCode": service}).json()
    here = f"{path}/{dossier['dossierId']}"
    template = client.get(f"/o/rest/v2/dossiertemplates/{dossier['dossierTemplateNo']}").json()
    known = {
        "dossier_id": dossier["dossierId"],
        "class_pk": dossier["dossierId"],
        "class_name": "dossier",
        "template_no": dossier["dossierTemplateNo"],
        "part_no": template["dossierParts"][0]["partNo"],
        "voting_id": 1,
    }
    paper = {"file": ("a.pdf", b"%PDF-1.4")}
    fields = {"dossierPartNo": known["part_no"]}
    sent = client.post(f"{here}/files", data=fields, files=paper).json()
    return known | {"reference_uid": sent["referenceUid"]}


def calls(operation: Any, known: dict[str, object]) -> SearchStrategy[Any]:
    """Return what to call an operation with: valid values, wrong ones, and what is there."""
    kinds = [operation.as_strategy(mode) for mode in GenerationMode]
    names = {parameter.name for parameter in operation.path_parameters}
    there = {name: value for name, value in known.items() if name in names}
    if there:
        kinds += [operation.as_strategy(path_parameters=there)] * 2
    return one_of(*kinds)


def problems(target: Target, case: Any) -> Iterator[str]:
    """Send a call in everybody's name; yield what is wrong with the answers."""
    for sender, headers in target.senders.items():
        answer = case.call(headers=headers)
        try:
            case.validate_response(answer, checks=[not_a_server_error, content_type_conformance])
        except (Failure, FailureGroup) as failure:
            yield f"{sender}: {answer.status_code}: {failure}"
        text = f"{answer.headers} {answer.content.decode('utf-8', 'replace')}"
        request = answer.request
        said = unquote(f"{request.url} {request.body!r} {request.headers}")
        # What the caller said and hears again is no secret: generated values come from anywhere.
        found = next((leak for leak in LEAK.finditer(text) if leak[0] not in said), None)
        if found or target.data in text:
            yield f"{sender}: the answer tells of the inside: {found}: {text[:500]}"


def fuzz(target: Target, examples: int) -> list[str]:
    """Call every operation; return what was wrong, the first time for each."""
    found: list[str] = []
    for result in target.schema.get_all_operations():
        operation = result.ok()

        @settings(
            max_examples=examples,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=calls(operation, target.known))
        def call(case: Any) -> None:
            wrong = list(problems(target, case))
            name = f"{case.operation.label}\n{case.as_curl_command()}\n"
            assert not wrong, name + "\n".join(wrong)

        try:
            call()
        except AssertionError as error:
            found.append(str(error))
    return found


def test_whatever_is_asked_is_answered_as_declared(target: Target) -> None:
    assert not (found := fuzz(target, EXAMPLES)), "\n\n".join(found)


@pytest.mark.slow
def test_whatever_is_asked_for_long_is_answered_as_declared(target: Target) -> None:
    assert not (found := fuzz(target, MANY_EXAMPLES)), "\n\n".join(found)
