"""The stand-in portal's catalogue: facets, search, detail, dictionaries, and its conventions."""

import os
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from starlette.testclient import TestClient

from loadtests.portal.app import make_app
from loadtests.portal.seed import seed
from loadtests.portal.store import open_database

REST = "/o/rest/v2"


@pytest.fixture
def client(portal_app: Any) -> TestClient:
    return TestClient(portal_app)


def rows_of(body: dict) -> list[dict]:
    """Return a list's rows, as the front end does: one row arrives as a bare object."""
    return body["data"] if isinstance(body["data"], list) else [body["data"]]


def get(client: TestClient, path: str, **query: Any) -> Any:
    answer = client.get(f"{REST}{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_these_tests_ran_on_postgresql_too() -> None:
    if not os.environ.get("HOSO_TEST_POSTGRES"):
        pytest.skip("HOSO_TEST_POSTGRES names no PostgreSQL server: portal tests ran on SQLite")


def test_every_integrated_service_is_listed_page_by_page(client: TestClient) -> None:
    pages = [rows_of(get(client, "/serviceinfos", start=at, end=at + 4)) for at in (0, 4, 8)]

    assert [len(page) for page in pages] == [4, 4, 2]
    codes = [row["serviceCode"] for page in pages for row in page]
    assert codes == sorted(set(codes))


def test_end_zero_asks_for_all_services(client: TestClient) -> None:
    body = get(client, "/serviceinfos", start=3, end=0)

    assert body["total"] == len(body["data"]) == 10


def test_a_single_row_arrives_as_a_bare_object(client: TestClient) -> None:
    body = get(client, "/serviceinfos", start=0, end=1)

    assert body["total"] == 10
    assert isinstance(body["data"], dict)


def test_an_empty_page_keeps_the_total(client: TestClient) -> None:
    assert get(client, "/serviceinfos", start=100, end=115) == {"total": 10, "data": []}


def test_search_ignores_case_and_accents(client: TestClient) -> None:
    accented = get(client, "/serviceinfos", keyword="Đất Đai số 3")

    assert accented["total"] == 1
    assert accented == get(client, "/serviceinfos", keyword="dat dai so 3")


@pytest.mark.parametrize("keyword", ["%", "_", "'; DROP TABLE services; --", '"', "\\"])
def test_wildcards_and_sql_in_a_search_are_text(client: TestClient, keyword: str) -> None:
    assert get(client, "/serviceinfos", keyword=keyword)["total"] == 0
    assert get(client, "/serviceinfos")["total"] == 10


@pytest.mark.parametrize(("slow_modes", "statements"), [((), 0), (("service-counts",), 10)])
def test_the_slow_mode_counts_offers_service_by_service(
    small_settings: Any, tmp_path: Path, slow_modes: tuple[str, ...], statements: int
) -> None:
    settings = small_settings(tmp_path, slow_modes=frozenset(slow_modes), tracks_reads=False)
    database = open_database(None, tmp_path)
    seed(settings, database)
    client = TestClient(make_app(settings, database))
    counts: list[str] = []

    @event.listens_for(database.engine, "before_cursor_execute")
    def note(_c: Any, _u: Any, statement: str, *_: Any) -> None:
        if "count" in statement and "service_configs" in statement:
            counts.append(statement)

    get(client, "/serviceinfos", agency="H24.01", start=0, end=15)
    database.close()

    assert len(counts) == statements


def test_facets_count_every_service_once(client: TestClient) -> None:
    for path in ("agencies", "domains", "levels"):
        rows = rows_of(get(client, f"/serviceinfos/statistics/{path}"))
        assert sum(row["count"] for row in rows) == 10, path


def test_a_facet_of_an_agency_counts_its_services(client: TestClient) -> None:
    agency = rows_of(get(client, "/serviceinfos/statistics/agencies"))[0]

    code = agency["administrationCode"]
    listed = get(client, "/serviceinfos", agency=code)["total"]
    domains = rows_of(get(client, "/serviceinfos/statistics/domains", agency=code))

    assert listed == agency["count"] == sum(row["count"] for row in domains)


def test_a_service_is_found_by_number_and_by_code(client: TestClient) -> None:
    row = rows_of(get(client, "/serviceinfos", start=4, end=5))[0]

    by_number = get(client, f"/serviceinfos/{row['serviceInfoId']}")

    assert by_number == get(client, f"/serviceinfos/{row['serviceCode']}")
    assert by_number["serviceName"] == row["serviceName"]
    assert {form["eForm"] for form in by_number["fileTemplates"]} <= {True, False}


def test_a_service_that_is_not_there_is_refused_by_a_rule(client: TestClient) -> None:
    answer = client.get(f"{REST}/serviceinfos/nothing")

    assert answer.status_code == 403
    assert answer.json()["message"] == "No Content."
    assert "NoServiceInfoException" in answer.json()["description"]


def test_forms_are_filtered_and_downloaded(client: TestClient) -> None:
    forms = [
        (row["serviceInfoId"], form)
        for row in rows_of(get(client, "/serviceinfos"))
        for form in rows_of(
            get(client, f"/serviceinfos/{row['serviceInfoId']}/filetemplates", eForm=True)
        )
    ]
    number, form = forms[0]

    answer = client.get(f"{REST}/serviceinfos/{number}/filetemplates/{form['fileTemplateNo']}")

    assert len(forms) == 5  # half of ten services have a form
    assert all(form["eForm"] for _, form in forms)
    assert answer.content[:2] == b"PK"
    assert len(answer.content) >= form["fileSize"] * 0.9


def test_what_can_be_filed_has_one_way_of_filing_it(client: TestClient) -> None:
    config = rows_of(get(client, "/serviceconfigs", start=0, end=1, level="3,4"))[0]

    body = get(client, f"/serviceconfigs/{config['serviceConfigId']}/processes")

    assert body["total"] == 1
    assert body["data"]["templateNo"].startswith("T")


def test_offers_are_filtered_by_level(client: TestClient) -> None:
    by_level = {row["level"]: row["count"] for row in rows_of(get(
        client, "/serviceinfos/statistics/levels"))}  # fmt: skip

    assert get(client, "/serviceconfigs", level="4")["total"] == by_level.get(4, 0)
    assert get(client, "/serviceconfigs", level="3,4")["total"] == 10


def test_the_city_has_114_communes_below_it(client: TestClient) -> None:
    top = get(client, "/dictcollections/ADMINISTRATIVE_REGION/dictitems", parent=0)
    below = get(client, "/dictcollections/ADMINISTRATIVE_REGION/dictitems", parent=31)

    assert top["total"] == 34
    assert [row["itemName"] for row in top["data"] if row["itemCode"] == "31"] == [
        "Thành phố Hải Phòng"
    ]
    assert below["total"] == 114
    assert len({row["itemCode"] for row in below["data"]}) == 114


def test_a_client_may_keep_a_dictionary_for_a_day(client: TestClient) -> None:
    answer = client.get(f"{REST}/dictcollections/DOCUMENT_TYPE/dictitems")

    assert answer.headers["cache-control"] == "max-age=86400"


def test_report_groups_list_the_domains_of_an_agency(client: TestClient) -> None:
    groups = rows_of(get(client, "/dictcollections/REPORT_GROUP/dictgroups"))
    code = groups[0]["groupCode"]

    items = rows_of(get(client, f"/dictcollections/REPORT_GROUP/dictgroups/{code}/dictitems"))

    assert [item["itemCode"] for item in items] == ["land"]


def test_an_unknown_dictionary_is_empty(client: TestClient) -> None:
    assert get(client, "/dictcollections/NOTHING/dictitems") == {"total": 0, "data": []}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/serviceinfos?start=-1", 400),
        ("/serviceinfos?end=many", 400),
        ("/serviceinfos?start=99999999999999999999", 400),
        ("/serviceinfos?keyword=%00", 400),
        (f"/serviceinfos?keyword={'x' * 501}", 400),
        ("/serviceinfos?keyword=%ff%fe", 200),
        ("/serviceconfigs/99999999999/processes", 400),
        ("/serviceconfigs/abc/processes", 400),
        ("/nothing", 404),
    ],
)
def test_what_cannot_be_read_is_said_without_failing(
    client: TestClient, path: str, status: int
) -> None:
    answer = client.get(f"{REST}{path}")

    assert answer.status_code == status
    assert set(answer.json()) >= ({"code", "message", "description"} if status != 200 else set())


def test_unknown_methods_are_not_allowed(client: TestClient) -> None:
    for method in ("DELETE", "PATCH", "PUT"):
        assert client.request(method, f"{REST}/serviceinfos").status_code == 405


def test_ping_says_ok(client: TestClient) -> None:
    answer = client.get(f"{REST}/ping")

    assert (answer.status_code, answer.text) == (200, "ok")


def test_home_statistics_count_what_was_sent_this_year(client: TestClient, portal_app: Any) -> None:
    import datetime as dt

    now = dt.datetime.now(dt.UTC)
    body = client.get("/o/rest/statistics", params={"year": now.year})
    other = client.get("/o/rest/statistics", params={"year": 2001, "month": 2})

    assert body.json()["data"]["totalCount"] >= 8  # four officers with two waiting dossiers each
    assert other.json()["data"]["totalCount"] == 0
