"""Which request of OpenCPS the n-th call of an endpoint is, journey by journey."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from loadtests.dialects.base import Answer, Call, Credentials, Reading, Service
from loadtests.dialects.encoding import WrongContentError, excerpt
from loadtests.dialects.opencps import accounts, dossiers, officers, payments, services, uploads
from loadtests.dialects.opencps.session import Exchange, Moment, Session
from loadtests.dialects.people import (
    PAYERS,
    PLAIN,
    SUPPLEMENTERS,
    Citizen,
    citizen,
    officer_user_name,
)
from sim.demand import Catalogue, catalogue_of
from sim.scenario import Scenario
from sim.streams import child_key, mix

Ask = Callable[[Session, Moment], Exchange]

OFFICERS = 200
"""Officer accounts of the stand-in portal, spread over the agencies in turn."""

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

_COMMON: Mapping[str, tuple[Ask, ...]] = {
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
"""Calls in order; after the last, from the first again."""

_BROWSE: Mapping[str, tuple[Ask, ...]] = {}

_TRACK: Mapping[str, tuple[Ask, ...]] = {
    "track_search": (accounts.track,),
    "dossier_get": (dossiers.read, dossiers.history, dossiers.steps_done, dossiers.votings),
}

_PAY: Mapping[str, tuple[Ask, ...]] = {
    "dossier_get": (*_DOSSIER_PAGE_GET, dossiers.payment),
    "service_detail": (services.service,),
}

_SUPPLEMENT: Mapping[str, tuple[Ask, ...]] = {
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

_BULK: Mapping[str, tuple[Ask, ...]] = {"dictionary": (services.document_types, services.cities)}

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


def _submit(has_form: bool, has_fee: bool) -> Mapping[str, tuple[Ask, ...]]:
    """Return the calls of the journey that files a dossier, page by page."""
    script = _FORM_SCRIPT if has_form else ()
    fee = (dossiers.payment,) if has_fee else ()
    return {
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

_JOURNEYS: Mapping[str, Mapping[str, tuple[Ask, ...]]] = {
    "track": _TRACK,
    "pay": _PAY,
    "supplement": _SUPPLEMENT,
    "enterprise_bulk": _BULK,
}

_BLOCKS = {"pay": PAYERS, "supplement": SUPPLEMENTERS}

OFFICER = "officer"
"""Journey of officers; they send their credentials with every request."""

ENDPOINTS = frozenset(_COMMON) | {"officer_list", "officer_detail", "officer_action"}
"""Endpoint names the dialect can send."""


class OpencpsVisitor:
    """One session at an OpenCPS portal."""

    __slots__ = ("_asks", "_counts", "_numbers", "_open", "_session")

    def __init__(self, session: Session, asks: Mapping[str, Sequence[Ask]]) -> None:
        self._session = session
        self._asks = asks
        self._counts: dict[str, int] = {}
        self._numbers: dict[int, int] = {}
        self._open: dict[int, Exchange] = {}

    def call(
        self, endpoint: str, *, request: int, attempt: int, bytes_up: int, now_ms: int
    ) -> Call:
        """Return what to send; see :class:`loadtests.dialects.Visitor`."""
        n = self._numbers.get(request)
        if n is None:
            n = self._counts.get(endpoint, 0)
            self._counts[endpoint] = n + 1
            self._numbers[request] = n
        asks = self._asks[endpoint]
        key = child_key(self._session.key, request)
        moment = Moment(n, request, attempt, bytes_up, now_ms, key)
        exchange = asks[n % len(asks)](self._session, moment)
        self._open[request] = exchange
        return exchange.call

    def read(self, endpoint: str, request: int, attempt: int, answer: Answer) -> Reading:
        """Return what the answer means; see :class:`loadtests.dialects.Visitor`."""
        exchange = self._open.pop(request)
        if exchange.lenient is not None:
            reading = exchange.lenient(answer)
            if reading is not None:
                return reading
        if answer.status not in uploads.OK_STATUSES:
            return refusal(answer)
        try:
            return exchange.check(answer)
        except WrongContentError as error:
            return Reading("failed", f"{endpoint}: {error}")
        finally:
            if len(self._counts) < 0:
                raise AssertionError
