"""Reconciliation: every promise is looked for, and every way of breaking one is told."""

import dataclasses

import pytest

from loadtests.reconcile import (
    Promise,
    StoredAction,
    StoredDossier,
    StoredFile,
    reconcile,
)

NOTE = "hoso-1f/3/40"


def promise(kind, reference="", detail="", size=0):
    return Promise(3, 40, kind, "7", reference, detail, size)


PROMISES = [
    promise("attachment", "paper-1", "aa", 10),
    promise("dossier", NOTE),
    promise("action", NOTE, "1300"),
]
PAPER = StoredFile(referenceUid="paper-1", sha256="aa", size=10, stored=True)
SENT = StoredAction(code="1300", sync="done")
DOSSIER = StoredDossier(
    dossierId=7, applicantNote=NOTE, status="receiving", files=(PAPER,), actions=(SENT,)
)


def differences(promises, *stored):
    return [difference.what for difference in reconcile(promises, stored).differences]


def test_what_is_there_exactly_once_is_no_difference():
    outcome = reconcile(PROMISES, [DOSSIER])
    assert outcome.is_clean
    assert (outcome.dossiers, outcome.attachments, outcome.actions) == (1, 1, 1)
    assert (outcome.synced, outcome.queued, outcome.unacknowledged) == (1, 0, 0)


def test_a_dossier_that_is_gone_takes_every_promise_with_it():
    assert differences(PROMISES) == ["attachment lost", "dossier lost", "action lost"]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"status": ""}, "dossier lost"),
        ({"applicantNote": "hoso-1f/4/40"}, "dossier mixed up"),
        ({"files": ()}, "attachment lost"),
        ({"files": (PAPER, PAPER)}, "attachment doubled"),
        ({"files": (PAPER.model_copy(update={"stored": False}),)}, "attachment damaged"),
        ({"files": (PAPER.model_copy(update={"sha256": "bb"}),)}, "attachment damaged"),
        ({"files": (PAPER.model_copy(update={"size": 9}),)}, "attachment damaged"),
        ({"actions": ()}, "action lost"),
        ({"actions": (SENT.model_copy(update={"sync": "given_up"}),)}, "action not told"),
    ],
)
def test_a_broken_promise_is_told_for_what_it_is(change, what):
    assert differences(PROMISES, DOSSIER.model_copy(update=change)) == [what]


def test_a_dossier_on_file_twice_is_a_difference_although_each_is_whole():
    twin = DOSSIER.model_copy(update={"dossierId": 8})
    assert differences(PROMISES, DOSSIER, twin) == ["dossier doubled"]


def test_a_change_that_still_waits_is_not_lost():
    waiting = DOSSIER.model_copy(update={"actions": (SENT.model_copy(update={"sync": "queued"}),)})
    outcome = reconcile(PROMISES, [waiting])
    assert outcome.is_clean
    assert (outcome.synced, outcome.queued) == (0, 1)


def test_a_dossier_whose_answer_nobody_got_is_counted_but_no_loss():
    other = DOSSIER.model_copy(update={"dossierId": 9, "applicantNote": "hoso-1f/5/40"})
    outcome = reconcile(PROMISES, [DOSSIER, other])
    assert outcome.is_clean
    assert outcome.unacknowledged == 1


def test_a_draft_that_was_never_sent_is_not_looked_for():
    draft = DOSSIER.model_copy(update={"dossierId": 9, "status": "", "actions": ()})
    assert reconcile(PROMISES, [DOSSIER, draft]).unacknowledged == 0


def test_a_difference_names_whose_request_it_was():
    (difference,) = reconcile(PROMISES[:1], []).differences
    assert dataclasses.astuple(difference)[1:4] == ("7", 3, 40)
