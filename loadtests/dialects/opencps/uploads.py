"""Uploading papers to an OpenCPS portal, one by one or a whole dossier in one request."""

import json
from functools import partial

from loadtests.dialects.base import Acknowledgement, Answer, Call, Reading
from loadtests.dialects.encoding import (
    Fields,
    Upload,
    WrongContentError,
    json_object,
    multipart,
    text_of,
)
from loadtests.dialects.opencps.dossiers import (
    DRAFT_STEP,
    IN_ORIGINAL,
    ONLINE,
    form_content,
    of,
    part_of,
)
from loadtests.dialects.opencps.session import MAIN, Part, Session
from loadtests.dialects.papers import WRONG_TYPE, Paper, paper, usual_type
from loadtests.dialects.people import CITY_CODE, enterprise
from loadtests.dialects.visiting import Exchange, Moment, accepted_wrongly, refused
from sim.streams import child_key

SIZE_LIMIT_BYTES = 100 * 1024 * 1024
"""Largest file. # source: OpenCPS front end, 100 MB."""


def upload(s: Session, m: Moment) -> Exchange:
    """Upload one paper."""
    reference, part = s.reference(m.request), part_of(s, m.n)
    sent = paper(usual_type(m.key), reference, m.bytes_up)
    call = _upload_call(s, sent, part)
    return Exchange(call, partial(_uploaded, s, s.dossier.number, sent, part.number))


def _upload_call(s: Session, sent: Paper, part: Part) -> Call:
    fields: Fields = {
        "displayName": sent.name,
        "fileType": sent.extension,
        "fileSize": sent.size,
        "isSync": "false",
        "dossierPartNo": part.number,
        "dossierTemplateNo": s.dossier.template or s.template,
        "fileTemplateNo": part.file_template,
        "formData": "",
        "referenceUid": "",
    }
    upload = Upload("file", sent.name, sent.media_type, sent.chunks)
    body = multipart(s.boundary, fields, [upload])
    return Call("POST", of(s, "/files"), s.headers.multipart, body)


def _uploaded(s: Session, number: str, sent: Paper, part: str, answer: Answer) -> Reading:
    row = json_object(answer.body)
    reference, size = text_of(row.get("referenceUid")), text_of(row.get("fileSize"))
    if not reference or row.get("dossierPartNo") != part:
        raise WrongContentError(f"no referenceUid, or part {row.get('dossierPartNo')} for {part}")
    if size != str(sent.size):
        raise WrongContentError(f"fileSize {size}, sent were {sent.size} bytes")
    s.files[reference] = sent.size
    stored = Acknowledgement("attachment", number, reference, sent.sha256, sent.size)
    return Reading("ok", acknowledged=stored)


def upload_refused(s: Session, m: Moment) -> Exchange:
    """Upload what must be refused: beyond the limit if the trace asks for that, else a program."""
    is_large = m.bytes_up > SIZE_LIMIT_BYTES
    kind = usual_type(m.key) if is_large else WRONG_TYPE
    call = _upload_call(s, paper(kind, s.reference(m.request), m.bytes_up), part_of(s, m.n))
    return Exchange(call, accepted_wrongly, refused)


# A whole dossier at once


def bulk(s: Session, m: Moment) -> Exchange:
    """File a dossier with all its papers in one request, as an enterprise's program does."""
    note = s.reference(m.request)
    parts = s.parts
    size = m.bytes_up // max(1, len(parts))
    papers = [
        paper(usual_type(child_key(m.key, n)), f"{note}/{n}", size) for n in range(len(parts))
    ]
    firm = enterprise(s.key)
    dossier: Fields = {
        "applicantName": firm.name,
        "applicantIdType": "business",
        "applicantIdNo": firm.tax_code,
        "address": s.person.address,
        "cityCode": CITY_CODE,
        "contactName": s.person.name,
        "contactTelNo": s.person.phone,
        "contactEmail": s.person.email,
        "applicantNote": note,
    }
    fields: Fields = {
        "serviceCode": s.service.code,
        "govAgencyCode": s.agency,
        "dossierTemplateNo": s.template,
        "originality": ONLINE,
        "referenceUid": f"{note}",
        **dossier,
        "dossiers": json.dumps(dossier, ensure_ascii=False),
        "dossierFileArr": json.dumps(_file_rows(s, m, papers, parts), ensure_ascii=False),
        "dossierMarkArr": json.dumps(
            [{"dossierPartNo": part.number, "fileMark": IN_ORIGINAL} for part in parts]
        ),
        "payment": "{}",
    }
    uploads = [Upload("files", sent.name, sent.media_type, sent.chunks) for sent in papers]
    body = multipart(s.boundary, fields, uploads)
    call = Call("POST", f"{MAIN}/dossiers/create/all", s.headers.multipart, body)
    return Exchange(call, partial(_filed, s.service.code, note))


def _file_rows(
    s: Session, m: Moment, papers: list[Paper], parts: list[Part]
) -> list[dict[str, str | int]]:
    """Say which paper is for which part, then what the forms hold."""
    rows: list[dict[str, str | int]] = [
        {
            "fileName": sent.name,
            "dossierPartNo": part.number,
            "fileTemplateNo": part.file_template,
            "displayName": sent.name,
            "fileType": sent.extension,
            "fileSize": sent.size,
        }
        for sent, part in zip(papers, parts, strict=True)
    ]
    forms = json.dumps(form_content(s, m), ensure_ascii=False)
    return rows + [{"dossierPartNo": part.number, "formData": forms} for part in s.form_parts]


def _filed(code: str, note: str, answer: Answer) -> Reading:
    row = json_object(answer.body)
    number = text_of(row.get("dossierId"))
    if not number or row.get("serviceCode") != code:
        raise WrongContentError(f"no dossierId, or serviceCode {row.get('serviceCode')}")
    if text_of(row.get("stepCode")) in ("", DRAFT_STEP):
        raise WrongContentError(f"stepCode {row.get('stepCode')}: the dossier is not sent")
    return Reading("ok", acknowledged=Acknowledgement("dossier", number, note))
