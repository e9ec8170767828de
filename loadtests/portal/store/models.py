"""The tables of the stand-in portal, SQLite and PostgreSQL alike.

Instants (columns ``..._at``) are seconds since 1970, UTC. Texts that the wire shows but no rule
reads are kept together in JSON columns.
"""

from typing import Annotated, Any

from sqlalchemy import JSON, BigInteger, Double, Index, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

Id = Annotated[int, mapped_column(Integer, primary_key=True, autoincrement=True)]
Key = Annotated[str, mapped_column(String(120), primary_key=True)]
Code = Annotated[str, mapped_column(String(120))]
Name = Annotated[str, mapped_column(String(500))]
Long = Annotated[str, mapped_column(Text)]
Instant = Annotated[float, mapped_column(Double)]
Json = Annotated[dict[str, Any], mapped_column(JSON)]


class Base(DeclarativeBase):
    """Metadata of all tables."""


class Meta(Base):
    """What the store says about itself, such as which seeding is complete."""

    __tablename__ = "meta"
    key: Mapped[Key]
    value: Mapped[Long]


# Catalogue


class Agency(Base):
    """An agency that receives dossiers, such as ``H24.01``."""

    __tablename__ = "agencies"
    code: Mapped[Key]
    name: Mapped[Name]
    level: Mapped[Code]


class Service(Base):
    """A service of the catalogue (the wire's ServiceInfo)."""

    __tablename__ = "services"
    service_id: Mapped[Id]
    code: Mapped[str] = mapped_column(String(120), unique=True)
    name: Mapped[Name]
    search_text: Mapped[Name]  # name and code, lower case without accents
    domain_code: Mapped[str] = mapped_column(String(120), index=True)
    domain_name: Mapped[Name]
    agency_code: Mapped[str] = mapped_column(String(120), index=True)
    agency_name: Mapped[Name]
    max_level: Mapped[int]
    limit_h: Mapped[float] = mapped_column(Double)
    fee_vnd: Mapped[int] = mapped_column(BigInteger)
    upload_slots: Mapped[int]
    e_form: Mapped[bool]
    tag_code: Mapped[Code]
    created_at: Mapped[Instant]


class ServiceConfig(Base):
    """That an agency offers a service."""

    __tablename__ = "service_configs"
    config_id: Mapped[Id]
    service_id: Mapped[int] = mapped_column(index=True)
    agency_code: Mapped[str] = mapped_column(String(120), index=True)
    agency_name: Mapped[Name]
    level: Mapped[int]


class ServiceProcess(Base):
    """How an offered service is worked on, and how long it may take."""

    __tablename__ = "service_processes"
    process_id: Mapped[Id]
    process_no: Mapped[str] = mapped_column(String(120), unique=True)
    name: Mapped[Name]
    duration_count: Mapped[float] = mapped_column(Double)  # working hours
    duration_unit: Mapped[int]  # 1: hours


class ProcessOption(Base):
    """Which process and dossier template an offered service uses."""

    __tablename__ = "process_options"
    option_id: Mapped[Id]
    config_id: Mapped[int] = mapped_column(index=True)
    process_id: Mapped[int]
    process_no: Mapped[Code]
    template_id: Mapped[int]
    template_no: Mapped[str] = mapped_column(String(120), index=True)
    name: Mapped[Name]


class Template(Base):
    """A dossier template: which parts a dossier has."""

    __tablename__ = "templates"
    template_id: Mapped[Id]
    template_no: Mapped[str] = mapped_column(String(120), unique=True)
    name: Mapped[Name]


class TemplatePart(Base):
    """One part of a dossier template: a paper to upload (type 1) or an electronic form."""

    __tablename__ = "template_parts"
    __table_args__ = (UniqueConstraint("template_no", "part_no"),)
    part_id: Mapped[Id]
    template_no: Mapped[Code]
    part_no: Mapped[Code]
    name: Mapped[Name]
    part_type: Mapped[int]
    multiple: Mapped[bool]
    required: Mapped[bool]
    file_template_no: Mapped[Code]
    e_form: Mapped[bool]
    max_size_mb: Mapped[int]
    extensions: Mapped[Code]  # comma list


class FileTemplate(Base):
    """A blank form that a service offers for download."""

    __tablename__ = "file_templates"
    __table_args__ = (UniqueConstraint("service_id", "file_template_no"),)
    file_template_id: Mapped[Id]
    service_id: Mapped[int]
    file_template_no: Mapped[Code]
    name: Mapped[Name]
    file_type: Mapped[Code]
    size_bytes: Mapped[int]
    e_form: Mapped[bool]


class DictItem(Base):
    """An entry of a dictionary, such as a ward of ADMINISTRATIVE_REGION."""

    __tablename__ = "dict_items"
    __table_args__ = (Index("ix_dict_items_parent", "collection", "parent_code"),)
    item_id: Mapped[Id]
    collection: Mapped[Code]
    code: Mapped[Code]
    name: Mapped[Name]
    parent_code: Mapped[Code]  # "0": top
    level: Mapped[int]
    sibling: Mapped[int]


class DictGroup(Base):
    """A group of a dictionary; its members are items whose codes the group lists."""

    __tablename__ = "dict_groups"
    __table_args__ = (UniqueConstraint("collection", "code"),)
    group_id: Mapped[Id]
    collection: Mapped[Code]
    code: Mapped[Code]
    name: Mapped[Name]
    item_codes: Mapped[Long]  # comma list


class Tracking(Base):
    """That somebody looked at services: a write on a read path, as the published server does."""

    __tablename__ = "trackings"
    tracking_id: Mapped[Id]
    at: Mapped[Instant]
    kind: Mapped[Code]
    user_id: Mapped[int]
    service_id: Mapped[int]


# People


class User(Base):
    """An account: a citizen's (created at first sign-in) or an officer's (seeded)."""

    __tablename__ = "users"
    user_id: Mapped[Id]
    login: Mapped[str] = mapped_column(String(120), unique=True)
    role: Mapped[Code]  # "citizen" | "officer"
    name: Mapped[Name]
    id_no: Mapped[str] = mapped_column(String(40), index=True)
    id_type: Mapped[Code]  # "citizen" | "business"
    email: Mapped[Name]
    tel_no: Mapped[Code]
    agency_code: Mapped[str] = mapped_column(String(120), index=True)  # officers only
    status: Mapped[Code]  # "active" | "pending"
    failed_logins: Mapped[int] = mapped_column(default=0)
    locked_until_at: Mapped[Instant] = mapped_column(default=0.0)
    created_at: Mapped[Instant]


class UserSession(Base):
    """A signed-in browser: the cookie JSESSIONID and the p_auth token that belongs to it."""

    __tablename__ = "user_sessions"
    session_id: Mapped[Key]
    token: Mapped[Code]
    user_id: Mapped[int] = mapped_column(index=True)
    created_at: Mapped[Instant]


# Shared-data warehouse


class SharedDataSet(Base):
    """A data set of the city's shared-data platform."""

    __tablename__ = "shared_data_sets"
    data_set_id: Mapped[Id]
    code: Mapped[str] = mapped_column(String(120), unique=True)
    name: Mapped[Name]
    owner: Mapped[Name]


class SharedField(Base):
    """A field of a data set."""

    __tablename__ = "shared_fields"
    field_id: Mapped[Id]
    data_set_id: Mapped[int] = mapped_column(index=True)
    code: Mapped[Code]
    title: Mapped[Name]
    kind: Mapped[Code]  # "text" | "number" | "date" | "code"


class SharedRecord(Base):
    """A record about one person or enterprise; its values in the order of the set's fields."""

    __tablename__ = "shared_records"
    __table_args__ = (Index("ix_shared_records_subject", "subject", "data_set_id"),)
    record_id: Mapped[Id]
    data_set_id: Mapped[int]
    subject: Mapped[str] = mapped_column(String(40))  # personal number or tax code
    content: Mapped[Long]  # JSON list of values


# Dossiers


class Dossier(Base):
    """A dossier from draft to result."""

    __tablename__ = "dossiers"
    __table_args__ = (
        Index("ix_dossiers_owner", "user_id", "step_code"),
        Index("ix_dossiers_desk", "agency_code", "step_code"),
        Index("ix_dossiers_sent", "submit_at"),
        Index("ix_dossiers_released", "release_at"),
    )
    dossier_id: Mapped[Id]
    reference_uid: Mapped[str] = mapped_column(String(120), unique=True)
    group_id: Mapped[int]
    user_id: Mapped[int]  # who filed it
    draft_key: Mapped[str | None] = mapped_column(String(400), unique=True)
    """User, site, service, agency, template, originality of an unsent draft; else NULL."""
    counter: Mapped[str | None] = mapped_column(String(120), unique=True)
    service_id: Mapped[int]
    service_code: Mapped[Code]
    service_name: Mapped[Name]
    agency_code: Mapped[Code]
    agency_name: Mapped[Name]
    template_no: Mapped[Code]
    template_name: Mapped[Name]
    process_id: Mapped[int]
    process_no: Mapped[Code]
    dossier_no: Mapped[str] = mapped_column(String(120), index=True, default="")
    secret: Mapped[Code] = mapped_column(default="")
    originality: Mapped[int]
    status: Mapped[Code] = mapped_column(default="")
    sub_status: Mapped[Code] = mapped_column(default="")
    step_code: Mapped[Code] = mapped_column(default="110")
    lock_state: Mapped[Code] = mapped_column(default="")
    sync_state: Mapped[int] = mapped_column(default=0)  # 0 none, 1 waiting, 2 sent, 3 ack, 4 error
    action_id: Mapped[int] = mapped_column(default=0)  # the last action
    n_actions: Mapped[int] = mapped_column(default=0)
    version: Mapped[int] = mapped_column(default=0)  # for optimistic updates
    duration_count: Mapped[float] = mapped_column(Double)  # working hours
    duration_unit: Mapped[int]
    fee_vnd: Mapped[int] = mapped_column(BigInteger, default=0)
    online: Mapped[bool] = mapped_column(default=True)
    applicant_name: Mapped[Name] = mapped_column(default="")
    applicant_id_type: Mapped[Code] = mapped_column(default="")
    applicant_id_no: Mapped[str] = mapped_column(String(120), index=True, default="")
    applicant_note: Mapped[str] = mapped_column(Text, default="")
    run_reference: Mapped[str] = mapped_column(String(200), index=True, default="")
    """First 200 characters of the applicant's note: load tests find their dossiers by it."""
    details: Mapped[Json] = mapped_column(default=dict)
    """Further fields of the form (contact, delegate, postal, ...) by their wire names."""
    created_at: Mapped[Instant]
    modified_at: Mapped[Instant]
    indexed_at: Mapped[Instant] = mapped_column(default=0.0)  # from when search lists show it
    submit_at: Mapped[Instant | None]
    receive_at: Mapped[Instant | None]
    process_at: Mapped[Instant | None]
    due_at: Mapped[Instant | None]
    release_at: Mapped[Instant | None]
    finish_at: Mapped[Instant | None]
    paused_at: Mapped[Instant | None]


class DossierFile(Base):
    """A file or electronic form of a dossier; the bytes lie in the blob store by their hash."""

    __tablename__ = "dossier_files"
    __table_args__ = (Index("ix_dossier_files_rendering", "render_state", "render_due_at"),)
    file_id: Mapped[Id]
    dossier_id: Mapped[int] = mapped_column(index=True)
    reference_uid: Mapped[str] = mapped_column(String(120), unique=True)
    template_no: Mapped[Code]
    part_no: Mapped[Code]
    part_type: Mapped[int]
    part_name: Mapped[Name]
    file_template_no: Mapped[Code] = mapped_column(default="")
    display_name: Mapped[Name] = mapped_column(default="")
    file_type: Mapped[Code] = mapped_column(default="")
    size_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    sha256: Mapped[Code] = mapped_column(default="")  # "": no bytes yet
    file_version: Mapped[int] = mapped_column(default=1)
    e_form: Mapped[bool] = mapped_column(default=False)
    form_data: Mapped[str] = mapped_column(Text, default="")
    removed: Mapped[bool] = mapped_column(default=False)
    is_sync: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[Instant]
    modified_at: Mapped[Instant]
    render_state: Mapped[Code] = mapped_column(default="")  # "" | "queued" | "done" | "given_up"
    render_due_at: Mapped[Instant] = mapped_column(default=0.0)
    """When the PDF of a saved form is to be made."""


class Mark(Base):
    """How the papers of one part were handed in."""

    __tablename__ = "marks"
    __table_args__ = (UniqueConstraint("dossier_id", "part_no"),)
    mark_id: Mapped[Id]
    dossier_id: Mapped[int]
    part_no: Mapped[Code]
    part_type: Mapped[int] = mapped_column(default=1)
    file_mark: Mapped[int] = mapped_column(default=0)
    file_check: Mapped[int] = mapped_column(default=0)
    file_comment: Mapped[str] = mapped_column(Text, default="")
    record_count: Mapped[Code] = mapped_column(default="")
    modified_at: Mapped[Instant]


class DossierMetadata(Base):
    """A named flag of a dossier, such as ``smsNotify``."""

    __tablename__ = "dossier_metadata"
    __table_args__ = (UniqueConstraint("dossier_id", "key"),)
    metadata_id: Mapped[Id]
    dossier_id: Mapped[int]
    key: Mapped[Code]
    value: Mapped[Long]


class Payment(Base):
    """What is to be paid for a dossier, and what was."""

    __tablename__ = "payments"
    payment_id: Mapped[Id]
    dossier_id: Mapped[int] = mapped_column(unique=True)
    reference_uid: Mapped[str] = mapped_column(String(120), unique=True)
    order_id: Mapped[str | None] = mapped_column(String(120), unique=True)
    request_payment: Mapped[int] = mapped_column(default=0)
    status: Mapped[int] = mapped_column(default=0)
    """1 advance, 2 final fee asked, 3 reported paid, 5 confirmed."""
    method: Mapped[Code] = mapped_column(default="")
    note: Mapped[str] = mapped_column(Text, default="")
    advance_vnd: Mapped[int] = mapped_column(BigInteger, default=0)
    fee_vnd: Mapped[int] = mapped_column(BigInteger, default=0)
    service_vnd: Mapped[int] = mapped_column(BigInteger, default=0)
    ship_vnd: Mapped[int] = mapped_column(BigInteger, default=0)
    transaction_no: Mapped[Code] = mapped_column(default="")
    proof_sha256: Mapped[Code] = mapped_column(default="")
    proof_name: Mapped[Name] = mapped_column(default="")
    details: Mapped[Json] = mapped_column(default=dict)
    created_at: Mapped[Instant]
    modified_at: Mapped[Instant]
    paid_at: Mapped[Instant | None]
    confirmed_at: Mapped[Instant | None]


class Action(Base):
    """One action done on a dossier; ``sequence`` counts them from 1 within the dossier."""

    __tablename__ = "actions"
    __table_args__ = (UniqueConstraint("dossier_id", "sequence"),)
    action_id: Mapped[Id]
    dossier_id: Mapped[int]
    sequence: Mapped[int]
    user_id: Mapped[int]
    user_name: Mapped[Name]
    code: Mapped[Code]
    name: Mapped[Name]
    from_step: Mapped[Code]
    from_status: Mapped[Code] = mapped_column(default="")
    from_sub_status: Mapped[Code] = mapped_column(default="")
    to_step: Mapped[Code]
    note: Mapped[str] = mapped_column(Text, default="")
    payload: Mapped[str] = mapped_column(Text, default="")
    previous_action_id: Mapped[int] = mapped_column(default=0)
    rollbackable: Mapped[bool] = mapped_column(default=False)
    due_at: Mapped[Instant | None]
    at: Mapped[Instant]


class DossierLog(Base):
    """A line of a dossier's history that people read."""

    __tablename__ = "dossier_logs"
    log_id: Mapped[Id]
    dossier_id: Mapped[int] = mapped_column(index=True)
    at: Mapped[Instant]
    author: Mapped[Name]
    content: Mapped[Long]
    notification_type: Mapped[Code]  # "PROCESS_TYPE" for steps
    payload: Mapped[str] = mapped_column(Text, default="")


class Assignment(Base):
    """That an officer is to work on a dossier."""

    __tablename__ = "assignments"
    __table_args__ = (UniqueConstraint("dossier_id", "user_id"),)
    assignment_id: Mapped[Id]
    dossier_id: Mapped[int]
    user_id: Mapped[int] = mapped_column(index=True)
    at: Mapped[Instant]


class Rating(Base):
    """A citizen's answer to a question about a dossier that is done."""

    __tablename__ = "ratings"
    __table_args__ = (UniqueConstraint("dossier_id", "voting_code", "user_id"),)
    rating_id: Mapped[Id]
    dossier_id: Mapped[int]
    voting_code: Mapped[Code]
    user_id: Mapped[int]
    selected: Mapped[Code]
    at: Mapped[Instant]


class Counter(Base):
    """A named running number, such as that of dossier numbers of one agency and year."""

    __tablename__ = "counters"
    key: Mapped[Key]
    value: Mapped[int] = mapped_column(BigInteger)


# Background work


class SyncRow(Base):
    """One item of a background queue, written in the transaction that caused it.

    ``queue`` is the job's name in the scenario: ``one_stop_sync``, ``national_sync``,
    ``notification``.
    """

    __tablename__ = "sync_rows"
    __table_args__ = (
        UniqueConstraint("queue", "dossier_id", "sequence"),
        Index("ix_sync_rows_waiting", "queue", "state", "position"),
        Index("ix_sync_rows_levels", "queue", "state", "attempts", "queued_at"),
        Index("ix_sync_rows_dossier", "dossier_id", "queue"),
    )
    sync_id: Mapped[Id]
    queue: Mapped[Code]
    dossier_id: Mapped[int]
    action_id: Mapped[int]
    sequence: Mapped[int]  # that of the action
    status_code: Mapped[Code] = mapped_column(default="")  # national code of the new status
    state: Mapped[Code] = mapped_column(default="queued")  # queued | claimed | done | given_up
    position: Mapped[Instant]
    """Order in the queue: when it was queued, or put back to its end."""
    attempts: Mapped[int] = mapped_column(default=0)
    queued_at: Mapped[Instant]
    claimed_at: Mapped[Instant | None]
    claimed_by: Mapped[str | None] = mapped_column(String(120))
    done_at: Mapped[Instant | None]
    problem: Mapped[str] = mapped_column(Text, default="")
    payload: Mapped[Json] = mapped_column(default=dict)


class AccessToken(Base):
    """A login at somebody else's server, kept until it expires."""

    __tablename__ = "access_tokens"
    name: Mapped[Key]
    token: Mapped[Long]
    expires_at: Mapped[Instant]
