"""Checking an evidence file offline: its signature, its chain, and that the two agree."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from cryptography.exceptions import InvalidSignature

from service.audit.chain import Fault, check_rows
from service.audit.evidence import FORMAT, canonical
from service.errors import ServiceError
from webhooks.standard import public_key_from_text

# The chain's hash is over instants and bytes, which the file holds as text.
_INSTANTS = ("occurred_at", "recorded_at")
_BYTES = ("evidence_hash", "previous_hash", "hash")


class EvidenceBroken(ServiceError):
    """The file is not what this service signed."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What a whole file proves: an invoice's history, and by which key."""

    reference: str
    transitions: int
    public_key: str


def verify_file(raw: bytes, *, public_key: str | None = None) -> Verified:
    """Check a file of `GET …/evidence`; return what it proves, or raise.

    `public_key` (`whpk_…`) is the one that it must be signed with; without, the file's own
    is used, which proves only that it is whole. Raises: EvidenceBroken."""
    try:
        document = orjson.loads(raw)
        evidence, signature = document["evidence"], document["signature"]
        signed_by = signature["publicKey"]
        value = base64.b64decode(signature["value"], validate=True)
    except (orjson.JSONDecodeError, KeyError, TypeError, binascii.Error) as error:
        raise EvidenceBroken("not an evidence file") from error
    if public_key is not None and signed_by != public_key:
        raise EvidenceBroken(f"signed with another key: {signed_by}")
    _check_signature(evidence, value, signed_by)
    return _check_evidence(evidence, signed_by)


def _check_signature(evidence: Mapping[str, Any], value: bytes, signed_by: str) -> None:
    try:
        public_key_from_text(signed_by).verify(value, canonical(evidence))
    except (InvalidSignature, ValueError, TypeError) as error:
        raise EvidenceBroken("changed after it was signed") from error


def _check_evidence(evidence: Mapping[str, Any], signed_by: str) -> Verified:
    if evidence.get("format") != FORMAT:
        raise EvidenceBroken(f"not of the format {FORMAT}")
    reference = evidence["invoice"]["reference"]
    rows = [_typed(row) for row in evidence["transitions"]]
    fault = check_rows(reference, rows)
    if fault is not None:
        raise EvidenceBroken(describe(fault))
    return Verified(reference, len(rows), signed_by)


def describe(fault: Fault) -> str:
    """Return a fault as one line."""
    return f"{fault.reference}: transition {fault.sequence} {fault.what}"


def _typed(row: Mapping[str, Any]) -> dict[str, Any]:
    typed = dict(row)
    for name in _INSTANTS:
        typed[name] = datetime.fromisoformat(typed[name])
    for name in _BYTES:
        typed[name] = bytes.fromhex(typed[name]) if typed[name] is not None else None
    return typed
