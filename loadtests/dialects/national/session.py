"""What one visitor of the national portal knows, and how it asks."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from loadtests.dialects.base import Answer, Call, Credentials, Service
from loadtests.dialects.encoding import (
    JSON_TYPE,
    Json,
    WrongContentError,
    excerpt,
    json_body,
    json_object,
    multipart_type,
)
from loadtests.dialects.people import Citizen, basic
from loadtests.dialects.visiting import Check, Exchange

PREFIX = "/api/v1"
PAGE_ROWS = 20  # source: clients of the national portal ask for 20 to 200


@dataclass(slots=True)
class Session:
    """What one visitor knows.

    Attributes
    ----------
    run_reference : str
        ``hoso-<run id>``.
    index, key : int
        Index of the session in the trace; what decides whatever it invents.
    service : Service
        What it comes for.
    person : Citizen
        Whose dossier it is.
    user_name : str
        Account it signs in with.
    credentials : Credentials
        Secrets of the test.
    signs_in : bool
        Whether a request of its own signs it in; otherwise credentials go with every request.
    """

    run_reference: str
    index: int
    key: int
    service: Service
    person: Citizen
    user_name: str
    credentials: Credentials
    signs_in: bool
    boundary: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    uploading: Mapping[str, str] = field(default_factory=dict)
    formality: str = ""
    blank_form: str = ""
    dossier: str = ""
    note: str = ""
    files: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin without a token."""
        self.boundary = f"hoso{self.key:016x}"
        if self.signs_in:
            self.use_headers({})
        else:
            secret = self.credentials.user_secret
            self.use_headers({"Authorization": f"Basic {basic(secret, self.user_name)}"})

    def use_headers(self, more: Mapping[str, str]) -> None:
        """Send these headers with every request from now on."""
        self.headers = {"Accept": JSON_TYPE, "Content-Type": JSON_TYPE, **more}
        self.uploading = {**self.headers, "Content-Type": multipart_type(self.boundary)}

    def reference(self, request: int) -> str:
        """Return the run reference of one request."""
        return f"{self.run_reference}/{self.index}/{request}"

    def part(self, n: int) -> str:
        """Return the component that the ``n``-th paper is for."""
        return f"TP{n % max(1, self.service.upload_slots) + 1:02d}"


def post(s: Session, path: str, body: Json, check: Check) -> Exchange:
    """Return a request of the portal; every one is a POST with a JSON body."""
    return Exchange(Call("POST", f"{PREFIX}{path}", s.headers, json_body(body)), check)


def data_of(answer: Answer) -> Json:
    """Return what an answer of the portal holds.

    Raises
    ------
    WrongContentError
        When its code is not OK.
    """
    row = json_object(answer.body)
    data = row.get("data")
    if row.get("code") != "OK" or not isinstance(data, dict):
        raise WrongContentError(f"code OK expected: {excerpt(answer.body)}")
    return data
