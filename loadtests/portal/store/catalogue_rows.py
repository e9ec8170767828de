"""The rows of the catalogue: every integrated service with its offer, process, template, forms."""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection

from loadtests.portal.store.database import bulk_insert
from loadtests.portal.store.models import (
    Agency,
    Base,
    DictGroup,
    DictItem,
    FileTemplate,
    ProcessOption,
    Service,
    ServiceConfig,
    ServiceProcess,
    Template,
    TemplatePart,
)
from loadtests.portal.store.regions import Entry, entries
from sim.demand import Catalogue

UNIT_CODE = "H24"
"""Hải Phòng. # source: national unit codes, as they end the codes of local procedures."""

LEVELS = {"full": 4, "partial": 3, "none": 2}
"""Levels of the wire; 4: fully online, 3: partly."""

HOURS = 1
"""Unit of a process's duration: working hours."""

DEFAULT_LIMIT_H = 80.0  # assumption: ten working days where the law states no limit
MAX_FILE_MB = 100  # source: OpenCPS front end, default per file
EXTENSIONS = "pdf,doc,docx,xls,xlsx,png,jpg,jpeg,txt,rtf"  # source: OpenCPS front end, default
TEMPLATE_BYTES = 20_480  # source: typical .docx form of the National Public Service Portal

E_FORM_PART = "TK01"
PAPER, FORM = 1, 3
"""Part types: a paper to hand in, a form that is filled in."""

TAGS = (("ESSENTIAL", "Dịch vụ thiết yếu"), ("POPULAR", "Được nộp nhiều"))

Rows = list[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Offer:
    """One service and who offers it, in seeding order; ids are ``number``."""

    number: int
    code: str
    name: str
    agency_code: str
    agency_name: str
    limit_h: float
    fee_vnd: int

    @property
    def template_no(self) -> str:
        """Number of the dossier template."""
        return f"T{self.number}"

    @property
    def template_name(self) -> str:
        """Name of the dossier template."""
        return f"Hồ sơ {self.name}"

    @property
    def process_no(self) -> str:
        """Number of the process."""
        return f"P{self.number}"


def plain(text: str) -> str:
    """Return a text in lower case without accents, for searching."""
    letters = unicodedata.normalize("NFD", text.lower().replace("đ", "d"))
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


def agency_codes(catalogue: Catalogue) -> dict[str, str]:
    """Return the code of every agency by name, in order of first mention."""
    names = dict.fromkeys(catalogue.agency)
    return {name: f"{UNIT_CODE}.{number:02d}" for number, name in enumerate(names, 1)}


def offers(catalogue: Catalogue) -> list[Offer]:
    """Return the integrated services."""
    services = catalogue.services
    codes = agency_codes(services)
    limits_h = np.where(np.isnan(services.limit_h), DEFAULT_LIMIT_H, services.limit_h).tolist()
    columns = zip(
        services.code,
        services.name,
        services.agency,
        limits_h,
        services.fee_vnd.tolist(),
        strict=True,
    )
    return [
        Offer(number, code, name, codes[agency], agency, limit_h, fee_vnd)
        for number, (code, name, agency, limit_h, fee_vnd) in enumerate(columns, 1)
    ]


def seed_catalogue(connection: Connection, catalogue: Catalogue, now: float) -> list[Offer]:
    """Insert the catalogue and the dictionaries; return what is offered."""
    services = catalogue.services
    offered = offers(catalogue)
    _seed_services(connection, services, offered, now)
    _seed_offers(connection, offered)
    _seed_templates(connection, services, offered)
    _seed_dictionaries(connection, services)
    return offered


def _seed_services(
    connection: Connection, services: Catalogue, offered: Sequence[Offer], now: float
) -> None:
    levels = dict(zip(services.agency, services.level, strict=True))
    agencies = [(code, name, levels[name]) for name, code in agency_codes(services).items()]
    bulk_insert(connection, Agency, ("code", "name", "level"), agencies)
    popular = set(np.argsort(-services.weight, kind="stable")[:100].tolist())
    rows: Rows = [
        (
            offer.number,
            offer.code,
            offer.name,
            plain(f"{offer.code} {offer.name}"),
            services.domain[row],
            domain_name(services, row),
            offer.agency_code,
            offer.agency_name,
            LEVELS[services.online_level[row]],
            offer.limit_h,
            offer.fee_vnd,
            int(services.upload_slots[row]),
            bool(services.e_form[row]),
            "POPULAR" if row in popular else "",
            now,
        )
        for row, offer in enumerate(offered)
    ]
    columns = (
        "service_id code name search_text domain_code domain_name agency_code agency_name "
        "max_level limit_h fee_vnd upload_slots e_form tag_code created_at"
    )
    bulk_insert(connection, Service, columns.split(), rows)
    configs = [
        (row[0], row[0], offer.agency_code, offer.agency_name, row[8])
        for row, offer in zip(rows, offered, strict=True)
    ]
    names = ("config_id", "service_id", "agency_code", "agency_name", "level")
    bulk_insert(connection, ServiceConfig, names, configs)


def domain_name(services: Catalogue, row: int) -> str:
    """Return a domain for people."""
    return f"Lĩnh vực {services.domain[row].replace('_', ' ')}"


def _seed_offers(connection: Connection, offered: Sequence[Offer]) -> None:
    processes = [
        (offer.number, offer.process_no, f"Quy trình {offer.name}", offer.limit_h, HOURS)
        for offer in offered
    ]
    names = ("process_id", "process_no", "name", "duration_count", "duration_unit")
    bulk_insert(connection, ServiceProcess, names, processes)
    options = [
        (
            offer.number,
            offer.number,
            offer.number,
            offer.process_no,
            offer.number,
            offer.template_no,
            "Nộp trực tuyến",
        )
        for offer in offered
    ]
    columns = "option_id config_id process_id process_no template_id template_no name"
    bulk_insert(connection, ProcessOption, columns.split(), options)


def _seed_templates(connection: Connection, services: Catalogue, offered: Sequence[Offer]) -> None:
    templates = [(offer.number, offer.template_no, offer.template_name) for offer in offered]
    bulk_insert(connection, Template, ("template_id", "template_no", "name"), templates)
    parts: Rows = []
    forms: Rows = []
    slots = services.upload_slots.tolist()
    for row, offer in enumerate(offered):
        mine = list(_parts(offer, slots[row], bool(services.e_form[row])))
        parts += mine
        forms += [
            (offer.number, part[6], f"Mẫu {part[2]}", "docx", TEMPLATE_BYTES, part[7])
            for part in mine
        ]
    columns = (
        "template_no part_no name part_type multiple required file_template_no e_form "
        "max_size_mb extensions"
    )
    bulk_insert(connection, TemplatePart, columns.split(), parts)
    names = ("service_id", "file_template_no", "name", "file_type", "size_bytes", "e_form")
    bulk_insert(connection, FileTemplate, names, forms)


def _parts(offer: Offer, upload_slots: int, e_form: bool) -> Iterator[tuple[Any, ...]]:
    """Give the parts of one template: the form first, then a part for each paper."""
    no = offer.template_no
    if e_form:
        form = f"F{offer.number}-00"
        yield no, E_FORM_PART, "Tờ khai", FORM, False, True, form, True, MAX_FILE_MB, "pdf"
    for slot in range(1, upload_slots + 1):
        form, name = f"F{offer.number}-{slot:02d}", f"Giấy tờ {slot}"
        part_no = f"TP{slot:02d}"
        yield no, part_no, name, PAPER, True, True, form, False, MAX_FILE_MB, EXTENSIONS


def _seed_dictionaries(connection: Connection, services: Catalogue) -> None:
    domains = {code: domain_name(services, row) for row, code in enumerate(services.domain)}
    reports = [Entry("REPORT_GROUP", code, name) for code, name in domains.items()]
    tags = [Entry("TAG_SERVICEINFO", code, name) for code, name in TAGS]
    agencies = [
        Entry("GOVERNMENT_AGENCY", code, name) for name, code in agency_codes(services).items()
    ]
    rows: Rows = [
        (entry.collection, entry.code, entry.name, entry.parent, entry.level, sibling)
        for sibling, entry in enumerate([*entries(), *reports, *tags, *agencies], 1)
    ]
    columns = ("collection", "code", "name", "parent_code", "level", "sibling")
    bulk_insert(connection, DictItem, columns, rows)
    groups: dict[str, dict[str, None]] = {code: {} for code in agency_codes(services).values()}
    codes = agency_codes(services)
    for agency, domain in zip(services.agency, services.domain, strict=True):
        groups[codes[agency]][domain] = None
    names = {code: name for name, code in codes.items()}
    bulk_insert(
        connection,
        DictGroup,
        ("collection", "code", "name", "item_codes"),
        [("REPORT_GROUP", code, names[code], ",".join(mine)) for code, mine in groups.items()],
    )


SEEDED: tuple[type[Base], ...] = (
    Service,
    ServiceConfig,
    ServiceProcess,
    ProcessOption,
    Template,
)
"""Tables whose rows bring numbers of their own."""
