"""Who speaks the national portal's language, and which request an endpoint is.

Two parties speak it. Citizens do, on the portal itself; and the portal does, when it hands a
dossier over to the city. Officers, and those who look dossiers up at the city, speak OpenCPS.

Paths for signing in, uploads, lists and details are assumptions: none of them is published.
"""

import zlib
from collections.abc import Mapping
from typing import Literal

from loadtests.dialects.base import Credentials, Service, Visitor
from loadtests.dialects.national import dossiers, services
from loadtests.dialects.national.session import Session
from loadtests.dialects.opencps.dialect import OpencpsDialect, opencps_dialect, role_of
from loadtests.dialects.people import PLAIN, SUPPLEMENTERS, citizen
from loadtests.dialects.visiting import Asks, PageVisitor
from sim.scenario import Scenario
from sim.streams import mix

Role = Literal["citizen", "supplementer", "front"]
"""``front``: the national portal hands dossiers over to the city."""

_ASKS: Asks[Session] = {
    "facets": (services.provinces, services.departments),
    "service_list": (services.first_page, services.search),
    "service_detail": (services.service, services.form_schema, services.blank_form),
    "dictionary": (services.provinces, services.departments),
    "login": (services.sign_in,),
    "login_refused": (services.sign_in_refused,),
    "profile": (services.own_dossiers,),
    "counters": (services.own_dossiers,),
    "service_choice": (services.search,),
    "dossier_create": (dossiers.create_draft,),
    "dossier_get": (dossiers.read,),
    "template_get": (services.service,),
    "form_get": (services.form_schema,),
    "citizen_lookup": (services.look_up_citizen,),
    "files_list": (dossiers.read,),
    "e_form_save": (dossiers.update,),
    "file_upload": (dossiers.upload,),
    "upload_refused": (dossiers.upload_refused,),
    "mark_save": (dossiers.update,),
    "dossier_save": (dossiers.update,),
    "draft_action": (dossiers.update,),
    "submit": (dossiers.submit,),
    "supplement_submit": (dossiers.supplement,),
    "sync_poll": (dossiers.poll,),
    "track_search": (services.own_dossiers,),
    "dossier_intake": (dossiers.intake,),
    "attachment_intake": (dossiers.upload,),
}

CITY_ENDPOINTS = frozenset({"officer_list", "officer_detail", "officer_action"})
"""What is sent to the city's own system in OpenCPS."""


class NationalDialect:
    """Makes the visitors of the national portal, and of the city behind it."""

    name = "national"
    endpoints = frozenset(_ASKS) | CITY_ENDPOINTS

    def __init__(
        self,
        run_reference: str,
        credentials: Credentials,
        city: OpencpsDialect,
        roles: Mapping[str, Role],
    ) -> None:
        self._run_reference = run_reference
        self._credentials = credentials
        self._city = city
        self._roles = roles
        self._first = mix(zlib.crc32(run_reference.encode()))

    def visitor(self, session: int, journey: str, service: Service, key: int) -> Visitor:
        """Return the visitor of one session; see :class:`loadtests.dialects.Dialect`."""
        role = self._roles.get(journey)
        if role is None:
            return self._city.visitor(session, journey, service, key)
        block = SUPPLEMENTERS if role == "supplementer" else PLAIN
        person = citizen(self._first + session, block)
        is_front = role == "front"
        state = Session(
            run_reference=self._run_reference,
            index=session,
            key=key,
            service=service,
            person=person,
            user_name=self._city.officer(session, service) if is_front else person.user_name,
            credentials=self._credentials,
            signs_in=role == "citizen",
        )
        return PageVisitor(state, key, _ASKS)


def national_dialect(
    scenario: Scenario, run_reference: str, credentials: Credentials
) -> NationalDialect:
    """Return the dialect of one run; see :func:`loadtests.dialects.make_dialect`."""
    city = opencps_dialect(scenario, run_reference, credentials)
    roles: dict[str, Role] = {}
    for name, journey in scenario.journeys.items():
        role = _role({endpoint for step in journey.steps for endpoint in step.calls})
        if role is not None:
            roles[name] = role
    return NationalDialect(run_reference, credentials, city, roles)


def _role(endpoints: set[str]) -> Role | None:
    """Return who sends these endpoints; None: somebody who speaks OpenCPS."""
    if "dossier_intake" in endpoints:
        return "front"
    if "attachment_intake" in endpoints:
        return "supplementer"
    return None if role_of(endpoints) in ("officer", "tracker") else "citizen"
