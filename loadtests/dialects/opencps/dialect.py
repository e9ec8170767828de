"""Which request of OpenCPS the n-th call of an endpoint is, journey by journey."""

import zlib
from collections.abc import Collection, Mapping
from functools import partial
from typing import Literal

from loadtests.dialects import visiting
from loadtests.dialects.base import Credentials, Service
from loadtests.dialects.opencps import accounts, dossiers, officers, payments, services, uploads
from loadtests.dialects.opencps.officers import Desk
from loadtests.dialects.opencps.session import Session
from loadtests.dialects.people import (
    PAYERS,
    PLAIN,
    SUPPLEMENTERS,
    Block,
    Citizen,
    citizen,
    officer_user_name,
)
from loadtests.dialects.visiting import PageVisitor
from sim.demand import Catalogue, catalogue_of
from sim.scenario import Scenario
from sim.streams import mix

Ask = visiting.Ask[Session]
Asks = visiting.Asks[Session]
OpencpsVisitor = PageVisitor[Session]

Role = Literal["visitor", "filer", "tracker", "payer", "supplementer", "enterprise", "officer"]
"""What the sessions of a journey come for; it decides who they are and what they ask for."""

TRACKED_CITIZENS = 100
"""Applicants whose dossiers are looked up; the portal's test data has at least so many."""

_FIRST_FILER = 1_000_000
"""Citizens below this number are applicants of the portal's test data."""

_FORM_PAGE: tuple[Ask, ...] = (
    dossiers.action_dialog,
    dossiers.sms_flag,
    dossiers.email_flag,
    dossiers.marks,
    dossiers.is_enterprise,
    dossiers.known_papers,
)
_FORM_SCRIPT: tuple[Ask, ...] = (dossiers.form_script, dossiers.form_data)
_MARKS: tuple[Ask, ...] = (dossiers.marks,)
_DOSSIER_PAGE_GET: tuple[Ask, ...] = (dossiers.read, dossiers.payment, dossiers.history)
_DOSSIER_PAGE_FORM: tuple[Ask, ...] = (
    dossiers.next_actions,
    dossiers.step_labels,
    dossiers.marks,
)
_REGIONS: tuple[Ask, ...] = (services.cities, services.wards, services.below_ward)

_COMMON: Asks = {
    "facets": (
        services.agencies,
        services.domains,
        services.levels,
        services.offering_agencies,
        services.home_statistics,
    ),
    "service_list": (services.first_page, services.search, services.filtered_page),
    "service_detail": (services.service, services.file_templates, services.processes),
    "dictionary": (services.document_types, *_REGIONS, services.post_cities),
    "login": (accounts.sign_in,),
    "login_refused": (accounts.sign_in_refused,),
    "profile": (accounts.user, accounts.roles, accounts.menu),
    "counters": (accounts.own_counters, accounts.own_count),
    "service_choice": (services.offers, services.processes),
    "dossier_create": (dossiers.create,),
    "dossier_get": _DOSSIER_PAGE_GET,
    "template_get": (dossiers.template,),
    "form_get": _DOSSIER_PAGE_FORM,
    "citizen_lookup": (dossiers.look_up_citizen,),
    "files_list": (dossiers.files,),
    "e_form_save": (dossiers.save_form,),
    "file_upload": (uploads.upload,),
    "upload_refused": (uploads.upload_refused,),
    "mark_save": (dossiers.mark_paper,),
    "dossier_save": (dossiers.save, dossiers.set_sms_flag, dossiers.set_email_flag),
    "draft_action": (dossiers.save_draft,),
    "submit": (dossiers.send,),
    "supplement_submit": (dossiers.send_supplement,),
    "bulk_submit": (uploads.bulk,),
    "sync_poll": (dossiers.poll, dossiers.next_actions, dossiers.step_labels),
    "track_search": (accounts.own_dossiers,),
    "payment_init": (payments.order,),
    "payment_confirm": (payments.confirm,),
}

_TRACK: Asks = {
    "track_search": (accounts.track,),
    "dossier_get": tuple(
        partial(accounts.as_tracker, ask=ask)
        for ask in (dossiers.read, dossiers.history, dossiers.steps_done, dossiers.votings)
    ),
}

_PAY: Asks = {
    "dossier_get": (*_DOSSIER_PAGE_GET, dossiers.payment),
    "service_detail": (services.service,),
}

_SUPPLEMENT: Asks = {
    "dossier_get": (dossiers.read, dossiers.history, *_DOSSIER_PAGE_GET),
    "form_get": (
        dossiers.next_actions,
        dossiers.marks,
        dossiers.sms_flag,
        dossiers.email_flag,
        *_DOSSIER_PAGE_FORM,
    ),
    "service_detail": (services.service,),
}

_BULK: Asks = {"dictionary": (services.document_types, services.cities)}

_OFFICER_READS: tuple[Ask, ...] = (
    dossiers.read,
    dossiers.template,
    dossiers.next_actions,
    dossiers.payment,
    dossiers.step_labels,
    dossiers.files,
    services.service,
    dossiers.history,
    dossiers.marks,
    officers.assigned,
    dossiers.files,
    officers.dialog,
    officers.dialog_payload,
)


def _submit(has_form: bool, has_fee: bool) -> Asks:
    """Return the calls of the journey that files a dossier, page by page."""
    script = _FORM_SCRIPT if has_form else ()
    fee = (dossiers.payment,) if has_fee else ()
    return {
        **_COMMON,
        "facets": (*_COMMON["facets"], services.levels, services.domains),
        "service_detail": (*_COMMON["service_detail"], *(services.service,) * 4),
        "dictionary": (
            services.report_groups,
            services.report_items,
            services.document_types,
            *_REGIONS,
            services.post_cities,
            *_REGIONS,
        ),
        "counters": (accounts.own_counters, accounts.own_counters, accounts.own_count),
        "form_get": (*_FORM_PAGE, *script, *_MARKS, *_DOSSIER_PAGE_FORM),
        "dossier_get": (dossiers.read, dossiers.read, *fee, *_DOSSIER_PAGE_GET),
    }


_SUBMIT = {
    (has_form, has_fee): _submit(has_form, has_fee)
    for has_form in (False, True)
    for has_fee in (False, True)
}

_ROLES: Mapping[Role, Asks] = {
    "visitor": _COMMON,
    "tracker": {**_COMMON, **_TRACK},
    "payer": {**_COMMON, **_PAY},
    "supplementer": {**_COMMON, **_SUPPLEMENT},
    "enterprise": {**_COMMON, **_BULK},
}

_BLOCKS: Mapping[Role, Block] = {"payer": PAYERS, "supplementer": SUPPLEMENTERS}


def role_of(endpoints: Collection[str]) -> Role:
    """Return what a journey that sends these endpoints is made for."""
    signs: tuple[tuple[str, Role], ...] = (
        ("officer_list", "officer"),
        ("dossier_create", "filer"),
        ("bulk_submit", "enterprise"),
        ("supplement_submit", "supplementer"),
        ("payment_init", "payer"),
    )
    for endpoint, role in signs:
        if endpoint in endpoints:
            return role
    return "tracker" if "track_search" in endpoints and "login" not in endpoints else "visitor"


def _officer_asks(desk: Desk) -> Asks:
    """Return the calls of officers, who share the work that waits."""
    return {
        **_COMMON,
        "officer_list": (partial(officers.work_list, desk=desk), officers.reload_list),
        "officer_detail": _OFFICER_READS,
        "officer_action": (partial(officers.decide, desk=desk),),
        "counters": (officers.counters, officers.counters, officers.count),
    }


ENDPOINTS = frozenset(_officer_asks(Desk()))
"""Endpoint names the dialect can send."""


class OpencpsDialect:
    """Makes the visitors of an OpenCPS portal; one for all sessions of a process.

    Parameters
    ----------
    run_reference : str
        ``hoso-<run id>``.
    credentials : Credentials
        Secrets of the test.
    catalogue : Catalogue
        The scenario's services.
    roles : mapping of str to Role
        What the sessions of each journey come for; see :func:`role_of`.
    templates : mapping of str to str, optional
        Dossier template of each service code, for programs that file without asking first; by
        default those of the stand-in portal.
    """

    name = "opencps"
    endpoints = ENDPOINTS

    def __init__(
        self,
        run_reference: str,
        credentials: Credentials,
        catalogue: Catalogue,
        roles: Mapping[str, Role],
        templates: Mapping[str, str] | None = None,
    ) -> None:
        self._run_reference = run_reference
        self._credentials = credentials
        self._roles = roles
        self._first = mix(zlib.crc32(run_reference.encode()))
        offered = catalogue.services
        numbered = {code: f"T{number}" for number, code in enumerate(offered.code, 1)}
        self._templates = numbered if templates is None else templates
        self._agencies = {name: index for index, name in enumerate(dict.fromkeys(offered.agency))}
        self._officer_asks = _officer_asks(Desk())

    def visitor(
        self, session: int, journey: str, service: Service, key: int
    ) -> PageVisitor[Session]:
        """Return the visitor of one session; see :class:`loadtests.dialects.Dialect`."""
        role = self._roles.get(journey, "visitor")
        person = self._person(session, role)
        is_officer = role == "officer"
        state = Session(
            role=role,
            run_reference=self._run_reference,
            index=session,
            key=key,
            service=service,
            person=person,
            user_name=self.officer(session, service) if is_officer else person.user_name,
            credentials=self._credentials,
            template=self._templates.get(service.code, ""),
        )
        if is_officer:
            state.use_headers({"Authorization": f"Basic {state.basic}"})
        return OpencpsVisitor(state, key, self._asks(role, service))

    def _asks(self, role: Role, service: Service) -> Asks:
        if role == "officer":
            return self._officer_asks
        if role == "filer":
            return _SUBMIT[service.e_form, service.fee_vnd > 0]
        return _ROLES[role]

    def _person(self, session: int, role: Role) -> Citizen:
        """Return who comes: each session of a run somebody else, in another run others."""
        if role == "tracker":
            return citizen(session % TRACKED_CITIZENS)
        if role in _BLOCKS:
            return citizen(self._first + session, _BLOCKS[role])
        filers = PLAIN.citizens - _FIRST_FILER
        return citizen(_FIRST_FILER + (self._first + session) % filers)

    def officer(self, session: int, service: Service) -> str:
        """Return an officer of the agency that decides on the service."""
        agencies = max(1, len(self._agencies))
        agency = self._agencies.get(service.agency, session % agencies)
        colleagues = max(1, (self._credentials.officers - agency + agencies - 1) // agencies)
        return officer_user_name(agency + session % _even(colleagues) * agencies)


def _even(colleagues: int) -> int:
    """Return how many of them work, so that none works for two of 2, 3, 4 or 6 processes.

    A process has the sessions of one remainder; two of them would take the same dossier.
    """
    for multiple in (12, 4, 2):
        if colleagues >= multiple:
            return colleagues // multiple * multiple
    return 1


def opencps_dialect(
    scenario: Scenario, run_reference: str, credentials: Credentials
) -> OpencpsDialect:
    """Return the dialect of one run; see :func:`loadtests.dialects.make_dialect`."""
    roles = {
        name: role_of({endpoint for step in journey.steps for endpoint in step.calls})
        for name, journey in scenario.journeys.items()
    }
    return OpencpsDialect(run_reference, credentials, catalogue_of(scenario), roles)
