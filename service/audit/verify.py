"""Checking an evidence file offline: its signature, its chain, and that the two agree."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from cryptography.exceptions import InvalidSignature

from service.audit.chain import Fault, check_rows
from service.audit.evidence import ALGORITHM, FORMAT, canonical
from service.errors import ServiceError
from webhooks import strict_json
from webhooks.errors import MalformedEvent
from webhooks.standard import public_key_from_text

# A file with thousands of events; more is not one that this service made.
FILE_BYTES_MAX = 256 * 1024 * 1024

# The chain's hash is over instants and bytes, which the file holds as text.
_INSTANTS = ("occurred_at", "recorded_at")
_BYTES = ("evidence_hash", "previous_hash", "hash")


class EvidenceBroken(ServiceError):
    """The file is not what this service signed."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What a whole file proves: an invoice's history, and by which key.

    `gone` counts the bodies and events that were no longer kept when it was made."""

    reference: str
    transitions: int
    public_key: str
    gone: int = 0


def verify_file(raw: bytes, *, public_key: str | None = None) -> Verified:
    """Check a file of `GET …/evidence`; return what it proves, or raise.

    `public_key` (`whpk_…`) is the one that it must be signed with; without, the file's own
    is used, which proves only that it is whole. Raises: EvidenceBroken."""
    evidence, value, signed_by = _parts(raw)
    if public_key is not None and signed_by != public_key:
        raise EvidenceBroken(f"signed with another key: {signed_by}")
    _check_signature(evidence, value, signed_by)
    try:
        return _check_evidence(evidence, signed_by)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        # Signed, yet by somebody whose service is not this one.
        raise EvidenceBroken("signed, yet not evidence of this service") from error


def describe(fault: Fault) -> str:
    """Return a fault as one line."""
    return f"{fault.reference}: transition {fault.sequence} {fault.what}"


def _parts(raw: bytes) -> tuple[Mapping[str, Any], bytes, str]:
    """Return what is signed, the signature and its key; any other spelling is refused.

    A second spelling of the same would be a byte that can change unnoticed: another name beside
    the two, the same one twice, base64 with stray bits at its end."""
    try:
        document: Any = strict_json.loads(raw, bytes_max=FILE_BYTES_MAX)
        evidence, signature = document["evidence"], document["signature"]
        value = base64.b64decode(signature["value"], validate=True)
        expected = {
            "algorithm": ALGORITHM,
            "publicKey": signature["publicKey"],
            "value": base64.b64encode(value).decode(),
        }
        is_plain = signature == expected and set(document) == {"evidence", "signature"}
    except (MalformedEvent, KeyError, TypeError, binascii.Error, ValueError) as error:
        raise EvidenceBroken("not an evidence file") from error
    if not (is_plain and isinstance(evidence, dict) and isinstance(signature["publicKey"], str)):
        raise EvidenceBroken("not an evidence file")
    return evidence, value, signature["publicKey"]


def _check_signature(evidence: Mapping[str, Any], value: bytes, signed_by: str) -> None:
    try:
        public_key_from_text(signed_by).verify(value, canonical(evidence))
    except (InvalidSignature, ValueError, orjson.JSONEncodeError) as error:
        raise EvidenceBroken("changed after it was signed") from error


def _check_evidence(evidence: Mapping[str, Any], signed_by: str) -> Verified:
    if evidence["format"] != FORMAT:
        raise EvidenceBroken(f"not of the format {FORMAT}")
    invoice = evidence["invoice"]
    rows = [_typed(row) for row in evidence["transitions"]]
    fault = check_rows(invoice["reference"], rows)
    if fault is not None:
        raise EvidenceBroken(describe(fault))
    ends_as = (len(rows), rows[-1]["to_state"] if rows else None)
    if ends_as != (invoice["sequence"], invoice["state"]):
        raise EvidenceBroken(f"{invoice['reference']}: the history does not lead to the invoice")
    _check_bodies(invoice["reference"], rows, evidence["vippsEvents"])
    gone = sum(evidence.get("noLongerKept", {}).values())  # a file of before has no such count
    return Verified(invoice["reference"], len(rows), signed_by, gone)


def _check_bodies(
    reference: str, rows: Sequence[Mapping[str, Any]], vipps_events: Sequence[Mapping[str, Any]]
) -> None:
    """Check that each transition's Vipps event is there, with the body that the chain names."""
    hashes = {event["id"]: bytes.fromhex(event["bodySha256"]) for event in vipps_events}
    for event in vipps_events:
        if not _is_of_body(event.get("headers") or [], hashes[event["id"]]):
            raise EvidenceBroken(f"{reference}: the headers of {event['id']} are of another body")
    for row in rows:
        is_named = row["evidence_id"] in hashes or row["source"] == "webhook"
        if is_named and hashes.get(row["evidence_id"]) != row["evidence_hash"]:
            fault = Fault(reference, row["sequence"], "is not what its Vipps event says")
            raise EvidenceBroken(describe(fault))


def _is_of_body(headers: Sequence[Sequence[str]], body_hash: bytes) -> bool:
    """Check the hash in a webhook's headers; a read has none, nor an older file."""
    claimed = (value for name, value in headers if name == "x-ms-content-sha256")
    return all(value == base64.b64encode(body_hash).decode() for value in claimed)


def _typed(row: Mapping[str, Any]) -> dict[str, Any]:
    typed = dict(row)
    for name in _INSTANTS:
        typed[name] = datetime.fromisoformat(typed[name])
    for name in _BYTES:
        typed[name] = bytes.fromhex(typed[name]) if typed[name] is not None else None
    return typed
