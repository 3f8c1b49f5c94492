"""`Idempotency-Key`: the same request twice has one effect and one answer (T42).

The row is written first in the effect's own transaction, and the answer last: of two
requests at once, the second waits on the row. An error rolls it back, so that a mended
request may use its key again.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
import sqlalchemy as sa
from sqlmodel import Session, col

from service.api.answers import Answer
from service.errors import Conflict, FieldError, InvalidInput
from service.ledger.people import box_of, open_sealed
from service.store.inserts import table_of
from service.store.statements import insert_or_leave
from service.store.tables import Customer, StoredAnswer
from service.vault import SealBroken, Vault

HEADER = "Idempotency-Key"

# Also in the document.
KEY_PATTERN = "^[!-~]{1,255}$"
_KEY = re.compile(KEY_PATTERN.encode())

# A row without an answer: its effect has begun outside the database (a test delivery).
_NO_ANSWER = 0


@dataclass(frozen=True, slots=True)
class Claim:
    """One key of one sales unit on one route, and what was sent with it."""

    msn: str
    route: str
    key: str = field(repr=False)
    body_hash: bytes

    @property
    def place(self) -> str:
        """Return where the answer's body is sealed."""
        return f"stored_answer:{self.msn}:{self.route}:{self.key}"


def read_key(headers: Sequence[tuple[bytes, bytes]]) -> str | None:
    """Return the request's key, or None. Raises: InvalidInput."""
    given = [value for name, value in headers if name == HEADER.lower().encode()]
    if not given:
        return None
    if len(given) > 1 or _KEY.fullmatch(given[0]) is None:
        raise InvalidInput(FieldError(HEADER, "is not 1 to 255 visible ASCII characters"))
    return given[0].decode("ascii")


def body_hash(vault: Vault, body: Any) -> bytes:
    """Return a keyed hash of what a body means: its sequence and white space do not count."""
    digest = hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).digest()
    return vault.request_print(digest)


def claim_key(
    session: Session, vault: Vault, claim: Claim, *, now: datetime, busy_until: datetime | None
) -> Answer | None:
    """Take the key for this request, or return the answer that it was given before.

    Must be the transaction's first statement: the insert is what two requests at once meet
    at. Raises: Conflict (`request_in_progress`), InvalidInput (`idempotency_key_reused`)."""
    if _insert(session, claim, now, busy_until):
        return None
    row = session.scalars(_named(claim).with_for_update()).one()
    if row.body_hash != claim.body_hash:
        error = FieldError(HEADER, "was used with another body")
        raise InvalidInput(error, code="idempotency_key_reused")
    if row.busy_until is not None and row.busy_until > now:
        raise Conflict("request_in_progress", "the first request with this key is under way")
    if row.status == _NO_ANSWER:
        row.busy_until = busy_until  # the first one died under way: this one takes its place
        session.add(row)
        return None
    headers = {**orjson.loads(row.headers), "Idempotent-Replayed": "true"}
    return Answer(row.status, _open(session, vault, claim, row), headers)


def _open(session: Session, vault: Vault, claim: Claim, row: StoredAnswer) -> bytes:
    owners = (row.customer_id,)
    try:
        return open_sealed(session, vault, row.body, place=claim.place, customer_ids=owners)
    except SealBroken as error:
        # The answer showed a person who is erased since; what it did is done all the same.
        raise Conflict("customer_erased", "the answer named a customer who is erased") from error


def keep_answer(
    session: Session, vault: Vault, claim: Claim, answer: Answer, *, busy_until: datetime | None
) -> None:
    """Store what the same request is answered from now on, or from `busy_until` on.

    An answer that shows a customer is sealed with that person's key, and goes when they do."""
    customer = session.get(Customer, answer.customer_id) if answer.customer_id else None
    box = box_of(customer, vault) if customer else None
    session.execute(
        _KEEP,
        {
            "of_msn": claim.msn,
            "of_route": claim.route,
            "of_key": claim.key,
            "status": answer.status,
            "headers": orjson.dumps(dict(answer.headers)).decode(),
            "body": (box or vault).seal(answer.body, place=claim.place),
            "customer_id": answer.customer_id if box else None,
            "busy_until": busy_until,
        },
    )


def forget_key(session: Session, claim: Claim) -> None:
    """Set a key free whose request has failed after all."""
    session.execute(sa.delete(StoredAnswer).where(*_is(claim)))


def _insert(session: Session, claim: Claim, now: datetime, busy_until: datetime | None) -> bool:
    row = {
        "msn": claim.msn,
        "route": claim.route,
        "key": claim.key,
        "body_hash": claim.body_hash,
        "status": _NO_ANSWER,
        "headers": "{}",
        "body": b"",
        "created_at": now,
        "busy_until": busy_until,
    }
    return insert_or_leave(session, StoredAnswer, row)


_STORED = table_of(StoredAnswer)
_KEEP = (
    sa.update(_STORED)
    .where(
        _STORED.c.msn == sa.bindparam("of_msn"),
        _STORED.c.route == sa.bindparam("of_route"),
        _STORED.c.key == sa.bindparam("of_key"),
    )
    .values(
        {
            name: sa.bindparam(name)
            for name in ("status", "headers", "body", "customer_id", "busy_until")
        }
    )
)


def _named(claim: Claim) -> sa.Select[StoredAnswer]:
    return sa.select(StoredAnswer).where(*_is(claim))


def _is(claim: Claim) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        col(StoredAnswer.msn) == claim.msn,
        col(StoredAnswer.route) == claim.route,
        col(StoredAnswer.key) == claim.key,
    )
