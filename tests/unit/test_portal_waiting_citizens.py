"""Test citizens for whom a dossier waits at the stand-in portal."""

from collections.abc import Iterator

import pytest

from loadtests.dialects.people import PAYERS, PLAIN, SUPPLEMENTERS, Block, citizen
from loadtests.portal.accounts import Accounts, SignedIn
from loadtests.portal.seed import seed
from loadtests.portal.settings import PortalSettings, Secrets
from loadtests.portal.store.database import Database, open_database
from loadtests.portal.store.models import Dossier, Payment
from loadtests.portal.transitions import PAYMENT_ASKED, Asked, Rules, act
from loadtests.portal.waiting_citizens import provide, state_for, waiting_dossier
from sim.scenario import load_scenario

NOW = 1_732_500_000.0


@pytest.fixture(scope="module", name="portal")
def _portal(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[PortalSettings, Database]]:
    settings = PortalSettings(
        scenario=load_scenario("haiphong-2024"),
        data=tmp_path_factory.mktemp("portal"),
        records=0,
        officers=17,
        backlog_per_officer=0,
        secrets=Secrets(user_secret="a secret"),
    )
    database = open_database(None, settings.data)
    seed(settings, database)
    yield settings, database
    database.close()


def signed_in(portal: tuple[PortalSettings, Database], number: int, block: Block) -> SignedIn:
    user, _ = Accounts(*portal).citizen_of(citizen(number, block).personal_number, "", NOW)
    return user


@pytest.mark.parametrize(("block", "step"), [(PAYERS, "132"), (SUPPLEMENTERS, "131")])
def test_a_dossier_waits_for_citizens_of_the_two_ranges(
    portal: tuple[PortalSettings, Database], block: Block, step: str
) -> None:
    user = signed_in(portal, 1, block)
    with portal[1].writing() as db:
        dossier = provide(db, Rules(), user, 1, NOW)
        assert dossier is not None
        assert (dossier.step_code, dossier.user_id) == (step, user.user_id)
        assert dossier.sync_state != 1


def test_no_second_dossier_waits_for_the_same_citizen(
    portal: tuple[PortalSettings, Database],
) -> None:
    user = signed_in(portal, 2, PAYERS)
    with portal[1].writing() as db:
        assert provide(db, Rules(), user, 1, NOW) is not None
        assert provide(db, Rules(), user, 1, NOW) is None


def test_once_the_papers_are_there_another_dossier_waits(
    portal: tuple[PortalSettings, Database],
) -> None:
    user = signed_in(portal, 3, SUPPLEMENTERS)
    with portal[1].writing() as db:
        first = provide(db, Rules(), user, 1, NOW)
        assert first is not None
        assert waiting_dossier(db, user) is first
        asked = Asked("citizen", user.user_id, user.name, "1250")
        assert act(db, Rules(), first, asked, NOW) is not None
        assert waiting_dossier(db, user) is None
        assert provide(db, Rules(), user, 1, NOW) is not None


def test_who_comes_to_pay_has_something_to_pay(portal: tuple[PortalSettings, Database]) -> None:
    user = signed_in(portal, 4, PAYERS)
    with portal[1].writing() as db:
        dossier = provide(db, Rules(), user, 1, NOW)
        assert dossier is not None
        (payment,) = db.query(Payment).filter_by(dossier_id=dossier.dossier_id)
        assert payment.fee_vnd > 0
        assert payment.status == PAYMENT_ASKED


def test_nothing_waits_for_anybody_else(portal: tuple[PortalSettings, Database]) -> None:
    user = signed_in(portal, 5, PLAIN)
    with portal[1].writing() as db:
        assert provide(db, Rules(), user, 1, NOW) is None
        assert db.query(Dossier).filter_by(user_id=user.user_id).count() == 0


def test_the_ranges_are_those_of_the_dialects() -> None:
    numbers = range(0, PAYERS.citizens, 9_973)
    for block, waits in ((PLAIN, False), (PAYERS, True), (SUPPLEMENTERS, True)):
        people = [citizen(number, block).personal_number for number in numbers]
        assert all((state_for(person) is not None) == waits for person in people)
