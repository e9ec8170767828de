"""What one visitor of an OpenCPS portal knows, and how it asks."""

import hashlib
from dataclasses import dataclass, field
from typing import NamedTuple

from loadtests.dialects.base import Credentials, Service
from loadtests.dialects.encoding import FORM_TYPE, JSON_TYPE, Json, multipart_type, text_of
from loadtests.dialects.people import Citizen, basic

MAIN = "/o/rest/v2"
MENUS = "/o/rest/v2_1"
LOGIN = "/o/v1/opencps"
PAYMENT = "/o/pgi"
"""Base paths. # source: OpenCPS publishers."""

PAGE_ROWS = 15  # source: OpenCPS front end
MINUTE_MS = 60_000


class Part(NamedTuple):
    """One part of a dossier template; its file template is often the same number."""

    number: str
    name: str
    file_template: str
    is_form: bool


class NextAction(NamedTuple):
    """What may be done with a dossier now."""

    number: str
    code: str
    after_step: str


@dataclass(slots=True)
class Headers:
    """Headers of every kind of request, made once per session and token."""

    plain: dict[str, str]
    form: dict[str, str]
    multipart: dict[str, str]
    json: dict[str, str]

    @classmethod
    def of(cls, common: dict[str, str], boundary: str) -> "Headers":
        """Return the headers for a common part and the boundary of multipart bodies."""
        return cls(
            plain=common,
            form=common | {"Content-Type": FORM_TYPE},
            multipart=common | {"Content-Type": multipart_type(boundary)},
            json=common | {"Content-Type": JSON_TYPE},
        )


@dataclass(slots=True)
class Dossier:
    """What is known of the session's dossier; ids as text, empty while unknown."""

    number: str = ""
    reference_uid: str = ""
    dossier_no: str = ""
    service_code: str = ""
    template: str = ""
    status: str = ""
    sub_status: str = ""
    step: str = ""
    applicant_id: str = ""
    applicant_name: str = ""
    note: str = ""


@dataclass(slots=True)
class Session:
    """State of one visitor.

    Attributes
    ----------
    role : str
        What it comes for.
    run_reference : str
        ``hoso-<run id>``.
    index : int
        Index of the session in the trace.
    key : int
        Decides whatever it invents.
    service : Service
        What it comes for.
    person : Citizen
        Who it is, or who the officer's applicant would be.
    user_name : str
        Account it signs in with.
    credentials : Credentials
        Secrets of the test.
    """

    role: str
    run_reference: str
    index: int
    key: int
    service: Service
    person: Citizen
    user_name: str
    credentials: Credentials
    boundary: str = ""
    headers: Headers = field(init=False)
    user_id: str = ""
    agency: str = ""
    administration: str = ""
    config: str = ""
    template: str = ""
    ward: str = ""
    dossier: Dossier = field(default_factory=Dossier)
    parts: list[Part] = field(default_factory=list)
    form_parts: list[Part] = field(default_factory=list)
    actions: list[NextAction] = field(default_factory=list)
    chosen: NextAction | None = None
    files: dict[str, int] = field(default_factory=dict)
    """Sizes of acknowledged files by their reference."""
    is_synced: bool = False

    def __post_init__(self) -> None:
        """Begin without a token."""
        self.boundary = f"hoso{self.key:016x}"
        self.use_headers({})

    def use_headers(self, more: dict[str, str]) -> None:
        """Send these headers with every request from now on."""
        common = {
            "groupId": self.credentials.group_id,
            "Token": "",
            "Accept": JSON_TYPE,
        } | more
        self.headers = Headers.of(common, self.boundary)

    @property
    def basic(self) -> str:
        """Value of the header that signs the user in."""
        return basic(self.credentials.user_secret, self.user_name)

    def reference(self, request: int) -> str:
        """Return the run reference of one request: what reconciliation looks for."""
        return f"{self.run_reference}/{self.index}/{request}"

    def tracking_key(self, now_ms: int) -> str:
        """Return the key of anonymous tracking: MD5 of a prefix and the minute, epoch ms."""
        minute_ms = now_ms // MINUTE_MS * MINUTE_MS
        text = f"{self.credentials.tracking_prefix}{minute_ms}"
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

    @property
    def service_code(self) -> str:
        """Code of the dossier's service if there is one, else of the service it comes for."""
        return self.dossier.service_code or self.service.code

    def learn_service(self, row: Json) -> None:
        """Take over what a list or an answer says about the service."""
        self.administration = text_of(row.get("administrationCode")) or self.administration
        configs = row.get("serviceConfigs")
        first = configs[0] if isinstance(configs, list) and configs else configs
        if isinstance(first, dict):
            self.config = text_of(first.get("serviceConfigId"))
            self.agency = text_of(first.get("govAgencyCode"))

    def learn_dossier(self, row: Json) -> None:
        """Take over what a list or an answer says about the session's dossier."""
        self.dossier = Dossier(
            number=text_of(row.get("dossierId")),
            reference_uid=text_of(row.get("referenceUid")),
            dossier_no=text_of(row.get("dossierNo")),
            service_code=text_of(row.get("serviceCode")),
            template=text_of(row.get("dossierTemplateNo")),
            status=text_of(row.get("dossierStatus")),
            sub_status=text_of(row.get("dossierSubStatus")),
            step=text_of(row.get("stepCode")),
            applicant_id=text_of(row.get("applicantIdNo")),
            applicant_name=text_of(row.get("applicantName")),
            note=self.dossier.note or text_of(row.get("applicantNote")),
        )
        self.template = self.dossier.template or self.template
        self.agency = text_of(row.get("govAgencyCode")) or self.agency
