"""Dictionaries: regions, document types, report groups; kept in memory for an hour."""

from typing import Annotated, Any

from fastapi import Query, Response

from loadtests.portal.conventions import (
    CodeText,
    End,
    NameText,
    Start,
    json_answer,
    listing,
    not_found,
    page,
)
from loadtests.portal.dictionary_cache import DictionaryCache
from loadtests.portal.store.models import DictItem
from loadtests.portal.visits import CurrentVisit, PortalRouter, Visit

router = PortalRouter(prefix="/o/rest/v2/dictcollections", tags=["dictionaries"])

CLIENT_CACHE = {"Cache-Control": "max-age=86400"}  # source: OpenCPS, DataManagementImpl

Json = dict[str, Any]


def _cache(visit: Visit) -> DictionaryCache:
    return visit.world.dictionaries


@router.get("/{collection}/dictitems")
def items(
    visit: CurrentVisit,
    collection: CodeText,
    parent: CodeText | None = None,
    keyword: NameText = "",
    level: Annotated[int | None, Query(ge=0, le=9)] = None,
    start: Start = 0,
    end: End = 0,
) -> Response:
    """List the entries of a dictionary, of one parent or of all."""
    found = [
        item
        for item in _cache(visit).items(collection, visit.now)
        if (parent is None or item.parent_code == parent)
        and (level is None or item.level == level)
        and keyword.lower() in item.name.lower()
    ]
    offset, limit = page(start, end)
    shown = [_item(item) for item in found[offset : offset + limit]]
    return json_answer(listing(len(found), shown), headers=CLIENT_CACHE)


@router.get("/{collection}/dictitems/{item_code}")
def item(visit: CurrentVisit, collection: CodeText, item_code: CodeText) -> Response:
    """Return one entry."""
    for entry in _cache(visit).items(collection, visit.now):
        if entry.code == item_code:
            return json_answer(_item(entry), headers=CLIENT_CACHE)
    raise not_found("DictItem", item_code)


@router.get("/{collection}/dictgroups")
def groups(visit: CurrentVisit, collection: CodeText) -> Response:
    """List the groups of a dictionary."""
    found = _cache(visit).groups(collection, visit.now)
    rows = [
        {"dictGroupId": group.group_id, "groupCode": group.code, "groupName": group.name}
        for group in found
    ]
    return json_answer(listing(len(rows), rows), headers=CLIENT_CACHE)


@router.get("/{collection}/dictgroups/{group_code}/dictitems")
def group_items(visit: CurrentVisit, collection: CodeText, group_code: CodeText) -> Response:
    """List the entries of one group."""
    members: set[str] = set()
    for group in _cache(visit).groups(collection, visit.now):
        if group.code == group_code:
            members = set(group.item_codes.split(","))
    found = [
        _item(entry)
        for entry in _cache(visit).items(collection, visit.now)
        if entry.code in members
    ]
    return json_answer(listing(len(found), found), headers=CLIENT_CACHE)


def _item(entry: DictItem) -> Json:
    return {
        "dictItemId": entry.item_id,
        "itemCode": entry.code,
        "itemName": entry.name,
        "itemNameEN": entry.name,
        "parentItemCode": entry.parent_code,
        "level": entry.level,
        "sibling": str(entry.sibling),
    }
