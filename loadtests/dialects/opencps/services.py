"""Looking around on an OpenCPS portal: facets, services, dictionaries."""

import re
import time
from functools import partial

from loadtests.dialects.base import Answer, Call, Reading
from loadtests.dialects.encoding import (
    Fields,
    Json,
    WrongContentError,
    array,
    glance,
    in_path,
    json_object,
    listing,
    says,
    text_of,
    with_query,
)
from loadtests.dialects.opencps.session import MAIN, PAGE_ROWS, Session
from loadtests.dialects.people import CITY_CODE
from loadtests.dialects.visiting import OK, Check, Exchange, Moment

CHOICE_ROWS = 10  # source: OpenCPS front end, page "new dossier"

_SOME_WARD = "11824"
"""A ward to ask for until the portal has named one."""


def get(s: Session, path: str, check: Check) -> Exchange:
    """Return a read."""
    return Exchange(Call("GET", path, s.headers.plain), check)


# Facets


def agencies(s: Session, _m: Moment) -> Exchange:
    """Agencies with their numbers of services."""
    path = f"{MAIN}/serviceinfos/statistics/agencies?sort=siblingSearch"
    return get(s, path, partial(_facet, "administrationCode"))


def domains(s: Session, _m: Moment) -> Exchange:
    """Domains with their numbers of services."""
    path = with_query(
        f"{MAIN}/serviceinfos/statistics/domains",
        {"agency": s.administration, "sort": "siblingSearch"},
    )
    return get(s, path, partial(_facet, "domainCode"))


def levels(s: Session, _m: Moment) -> Exchange:
    """Levels with their numbers of services."""
    return get(s, f"{MAIN}/serviceinfos/statistics/levels", partial(_facet, "level"))


def offering_agencies(s: Session, _m: Moment) -> Exchange:
    """Agencies that offer services."""
    path = f"{MAIN}/onegate/serviceconfigs/govagencies"
    return get(s, path, partial(_facet, "govAgencyCode"))


def home_statistics(s: Session, m: Moment) -> Exchange:
    """Figures of the home page, of this month."""
    now = time.gmtime(m.now_ms / 1000)
    query: Fields = {"year": now.tm_year, "month": now.tm_mon, "agency": "", "domain": ""}
    return get(s, with_query("/o/rest/statistics", query), any_list)


def _facet(field: str, answer: Answer) -> Reading:
    if glance(answer.body, field) == 0:
        raise WrongContentError(f"no rows with {field}")
    return OK


def any_list(answer: Answer) -> Reading:
    """Read a list of any length."""
    glance(answer.body)
    return OK


# Services


def first_page(s: Session, _m: Moment) -> Exchange:
    """First page of all services."""
    return _page(s, {}, "")


def search(s: Session, _m: Moment) -> Exchange:
    """Search for the service the visitor comes for."""
    return _page(s, {"keyword": s.service.code}, s.service.code)


def filtered_page(s: Session, _m: Moment) -> Exchange:
    """First page of one agency's services."""
    return _page(s, {"agency": s.agency}, "")


def _page(s: Session, query: Fields, wanted: str) -> Exchange:
    path = with_query(f"{MAIN}/serviceinfos", {"start": 0, "end": PAGE_ROWS, **query})
    return get(s, path, partial(_services, s, wanted))


def _services(s: Session, wanted: str, answer: Answer) -> Reading:
    if wanted:
        _, rows = listing(answer.body)
        s.learn_service(find(rows, "serviceCode", wanted))
        return OK
    total, shown = glance(answer.body, "serviceCode"), answer.body.count(b'"serviceCode"')
    if total == 0 or shown > PAGE_ROWS:
        raise WrongContentError(f"{shown} rows on a page of {PAGE_ROWS}, {total} in all")
    return OK


def find(rows: list[Json], field: str, wanted: str) -> Json:
    """Return the row whose field has this value.

    Raises
    ------
    WrongContentError
        When there is none.
    """
    for row in rows:
        if text_of(row.get(field)) == wanted:
            return row
    raise WrongContentError(f"{field} {wanted} is not among {len(rows)} rows")


def service(s: Session, _m: Moment) -> Exchange:
    """One service."""
    code = s.service_code
    path = f"{MAIN}/serviceinfos/{in_path(code)}"
    return get(s, path, partial(_service, s, code))


def _service(s: Session, code: str, answer: Answer) -> Reading:
    if s.config and says(answer.body, "serviceCode", code):
        return OK
    row = json_object(answer.body)
    if row.get("serviceCode") != code:
        raise WrongContentError(f"serviceCode {row.get('serviceCode')}, asked for {code}")
    if code == s.service.code:
        s.learn_service(row)
    return OK


def file_templates(s: Session, _m: Moment) -> Exchange:
    """Blank forms of one service."""
    path = f"{MAIN}/serviceinfos/{in_path(s.service_code)}/filetemplates"
    return get(s, path, any_list)


def processes(s: Session, m: Moment) -> Exchange:
    """Process options of the offer; names the dossier template."""
    if not s.config:
        return service(s, m)
    return get(s, f"{MAIN}/serviceconfigs/{in_path(s.config)}/processes", partial(_options, s))


def _options(s: Session, answer: Answer) -> Reading:
    total, rows = listing(answer.body)
    if total == 0 or not text_of(rows[0].get("templateNo")):
        raise WrongContentError("no option with templateNo")
    s.template = text_of(rows[0]["templateNo"])
    return OK


def offers(s: Session, _m: Moment) -> Exchange:
    """Services that can be applied for, narrowed to the wanted one."""
    code = s.service.code
    query: Fields = {
        "start": 0,
        "end": CHOICE_ROWS,
        "agency": "",
        "keyword": code,
        "domain": "",
        "level": "3,4",  # source: OpenCPS front end, what runs online
    }
    return get(s, with_query(f"{MAIN}/serviceconfigs", query), partial(_offers, s, code))


def _offers(s: Session, code: str, answer: Answer) -> Reading:
    _, rows = listing(answer.body)
    row = find(rows, "serviceCode", code)
    s.config = text_of(row.get("serviceConfigId")) or s.config
    s.agency = text_of(row.get("govAgencyCode")) or s.agency
    return OK


# Dictionaries


def report_groups(s: Session, _m: Moment) -> Exchange:
    """Groups of services on the page "new dossier"."""
    path = f"{MAIN}/dictcollections/REPORT_GROUP/dictgroups"
    return get(s, path, _some)


def report_items(s: Session, _m: Moment) -> Exchange:
    """Members of the agency's group; without one, all of them."""
    group = f"dictgroups/{in_path(s.administration)}/" if s.administration else ""
    return get(s, f"{MAIN}/dictcollections/REPORT_GROUP/{group}dictitems", _some)


def document_types(s: Session, _m: Moment) -> Exchange:
    """Kinds of papers."""
    return get(s, f"{MAIN}/dictcollections/DOCUMENT_TYPE/dictitems", _some)


def post_cities(s: Session, _m: Moment) -> Exchange:
    """Cities of the post."""
    path = f"{MAIN}/dictcollections/VNPOST_CITY_CODE/dictitems"
    headers = {**s.headers.plain, "groupId": "0"}  # source: OpenCPS front end
    return Exchange(Call("GET", path, headers), _some)


def cities(s: Session, _m: Moment) -> Exchange:
    """Cities and provinces; the visitor's own is among them."""
    return get(s, _regions("0"), partial(_has_item, CITY_CODE))


def wards(s: Session, _m: Moment) -> Exchange:
    """Wards of the city."""
    return get(s, _regions(CITY_CODE), partial(_wards, s))


def below_ward(s: Session, _m: Moment) -> Exchange:
    """What lies below a ward: nothing since 2025, and asked for all the same."""
    return get(s, _regions(s.ward or _SOME_WARD), any_list)


def _regions(parent: str) -> str:
    return f"{MAIN}/dictcollections/ADMINISTRATIVE_REGION/dictitems?parent={in_path(parent)}"


def _some(answer: Answer) -> Reading:
    if glance(answer.body) == 0:
        raise WrongContentError("the dictionary is empty")
    return OK


def _has_item(code: str, answer: Answer) -> Reading:
    glance(answer.body, "itemCode")
    if not says(answer.body, "itemCode", code):
        raise WrongContentError(f"itemCode {code} is missing")
    return OK


_ITEM_CODE = re.compile(rb'"itemCode"\s*:\s*"([^"]+)"')


def _wards(s: Session, answer: Answer) -> Reading:
    glance(answer.body, "itemCode")
    codes = _ITEM_CODE.findall(answer.body)
    if not codes:
        raise WrongContentError(f"region {CITY_CODE} has no wards")
    s.ward = codes[s.key % len(codes)].decode()
    return OK


def people_of(answer: Answer) -> list[Json]:
    """Return the rows of a bare list of users.

    Raises
    ------
    WrongContentError
        When it is empty.
    """
    rows = array(answer.body)
    if not rows:
        raise WrongContentError("nobody is signed in")
    return rows
