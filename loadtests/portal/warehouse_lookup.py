"""What the city's shared-data warehouse knows about a person or a firm."""

import json
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from loadtests.portal.store.models import SharedDataSet, SharedField, SharedRecord

POPULATION = "DS001"
"""The set about people."""

MAX_SETS = 20
"""Most data sets of one look-up. # assumption"""

FORM_FIELDS = {
    "hoVaTen": "hoVaTen",
    "ngaySinh": "ngaySinh",
    "gioiTinh": "gioiTinh",
    "diaChi": "diaChi",
    "maXa": "maXa",
}
"""Fields of an electronic form and of the set about people that mean the same."""


def records_of(session: Session, subject: str, *, limit: int = MAX_SETS) -> list[dict[str, Any]]:
    """Return the records about one subject, largest sets first.

    Parameters
    ----------
    session : Session
        For reading.
    subject : str
        Personal number or tax code.
    limit : int
        Most records, >= 1.

    Returns
    -------
    list of dict
        ``dataSet``, ``name``, ``owner`` and ``values`` by the codes of the fields.
    """
    query = (
        select(SharedRecord.content, SharedDataSet)
        .join(SharedDataSet, SharedDataSet.data_set_id == SharedRecord.data_set_id)
        .where(SharedRecord.subject == subject)
        .order_by(SharedRecord.data_set_id)
        .limit(limit)
    )
    return [
        {
            "dataSet": data_set.code,
            "name": data_set.name,
            "owner": data_set.owner,
            "values": _named(session, data_set.data_set_id, content),
        }
        for content, data_set in session.execute(query).all()
    ]


def prefilled(session: Session, personal_number: str) -> dict[str, str]:
    """Return the fields of an electronic form that the warehouse can fill in; often none."""
    query = (
        select(SharedRecord.content, SharedRecord.data_set_id)
        .join(SharedDataSet, SharedDataSet.data_set_id == SharedRecord.data_set_id)
        .where(SharedRecord.subject == personal_number, SharedDataSet.code == POPULATION)
        .limit(1)
    )
    row = session.execute(query).first()
    if not personal_number or row is None:
        return {}
    values = _named(session, row.data_set_id, row.content)
    known = {field: str(values[code]) for field, code in FORM_FIELDS.items() if code in values}
    return known | {"soDinhDanh": personal_number}


def _named(session: Session, data_set_id: int, content: str) -> dict[str, Any]:
    """Return a record's values by the codes of its fields."""
    query = select(SharedField.code).where(SharedField.data_set_id == data_set_id)
    codes = session.scalars(query.order_by(SharedField.field_id))
    return dict(zip(codes, json.loads(content), strict=False))
