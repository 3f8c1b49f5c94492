"""The keys of one running service, unwrapped, and what is done with them."""

import base64
import hashlib
import hmac
import os
from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlmodel import Session, col

from service.ids import named_bytes
from service.store.statements import insert_or_leave
from service.store.tables import DataKey
from service.vault.box import Box

# One key per use: a leak of one, or a weakness in one use, opens nothing else.
_PURPOSES = ("data", "phone", "sub", "page", "signing", "sandbox", "staff", "request")

_DEMO_PASSWORD_BYTES = 9

# What an id has room for; of those whose reference is their id, half is chance and half proof.
_INVOICE_NAME_BYTES = 10
_PROOF_BYTES = 5

_TOKEN_BYTES = 18  # 144 random-looking bits: unguessable, and 24 characters in a link


class Vault:
    """Seals and opens stored values, and derives what must not be stored."""

    def __init__(self, master: Box, keys: dict[str, bytes]) -> None:
        """Take the box of master keys and the data keys by purpose."""
        self._master = master
        self._keys = keys
        self._box = Box([keys["data"]])
        self.signing_key = Ed25519PrivateKey.from_private_bytes(keys["signing"])

    def seal(self, plain: bytes, *, place: str) -> bytes:
        """Encrypt for one place, named `table:row:column`."""
        return self._box.seal(plain, place=place)

    def open(self, sealed: bytes, *, place: str) -> bytes:
        """Decrypt what was sealed for this place. Raises: SealBroken."""
        return self._box.open(sealed, place=place)

    def wrap_new_key(self, customer_id: str) -> bytes:
        """Return a fresh key for one customer, wrapped for that row."""
        return self._master.seal(os.urandom(32), place=f"customer:{customer_id}:wrapped_key")

    def customer_box(self, customer_id: str, wrapped_key: bytes) -> Box:
        """Return the box of one customer's own key. Raises: SealBroken."""
        place = f"customer:{customer_id}:wrapped_key"
        return Box([self._master.open(wrapped_key, place=place)])

    def phone_lookup(self, msn: str, phone_number: str) -> bytes:
        """Return the keyed hash by which a sales unit finds a phone number again."""
        return self._derive("phone", f"{msn}:{phone_number}")

    def sub_lookup(self, msn: str, sub: str) -> bytes:
        """Return the keyed hash by which a sales unit finds again who Vipps calls this."""
        return self._derive("sub", f"{msn}:{sub}")

    def login_lookup(self, login: str) -> bytes:
        """Return the keyed hash by which a person's login is found again."""
        return self._derive("staff", f"login:{login}")

    def demo_password(self) -> str:
        """Return the password that `serve` prints when the sandbox is built in."""
        return _text(self._derive("staff", "demo password")[:_DEMO_PASSWORD_BYTES])

    def request_print(self, digest: bytes) -> bytes:
        """Return what is stored of a request's hash, to know the same request again.

        With a key: a bare hash over a body would tell whoever tries all phone numbers (T46)."""
        return hmac.digest(self._keys["request"], digest, "sha256")

    def invoice_name(self, msn: str, reference: str) -> bytes:
        """Return what an invoice's id says of its reference, for whoever has these keys.

        The same every time: so it is known again where a restored database has lost it."""
        own = named_bytes(reference)
        if own is not None and own == self._proven(msn, own[:-_PROOF_BYTES]):
            return own  # it was made of the id
        return self._derive("request", f"invoice:{msn}:{reference}")[:_INVOICE_NAME_BYTES]

    def new_invoice_name(self, msn: str) -> bytes:
        """Return the same for an invoice whose reference will be its id."""
        return self._proven(msn, os.urandom(_INVOICE_NAME_BYTES - _PROOF_BYTES))

    def _proven(self, msn: str, chance: bytes) -> bytes:
        return chance + self._derive("request", f"made:{msn}:{chance.hex()}")[:_PROOF_BYTES]

    def page_token(self, invoice_id: str) -> str:
        """Return the unguessable token of an invoice's page; the same every time."""
        return _text(self._derive("page", invoice_id)[:_TOKEN_BYTES])

    def sandbox_api_key(self, msn: str) -> str:
        """Return the API key that `serve` prints when the sandbox is built in."""
        return f"bb_sandbox_{_text(self._derive('sandbox', msn)[:_TOKEN_BYTES])}"

    def forwarding_key(self, msn: str) -> bytes:
        """Return what signs a sales unit's events on their way to a developer's machine."""
        return self._derive("sandbox", f"forward:{msn}")

    def _derive(self, purpose: str, text: str) -> bytes:
        return hmac.digest(self._keys[purpose], text.encode(), "sha256")


def page_lookup(token: str) -> bytes:
    """Return what is stored of a page's token: enough to find, not to open."""
    return hashlib.sha256(token.encode()).digest()


def open_vault(session: Session, master_keys: Sequence[bytes], *, now: datetime) -> Vault:
    """Unwrap the data keys, making those that do not exist yet.

    Raises: SealBroken, where the master keys are not those of this database."""
    master = Box(master_keys)
    for purpose in _PURPOSES:
        wrapped = master.seal(os.urandom(32), place=f"data_key:{purpose}:wrapped")
        row = {"purpose": purpose, "wrapped": wrapped, "created_at": now}
        insert_or_leave(session, DataKey, row)
    rows = session.execute(sa.select(col(DataKey.purpose), col(DataKey.wrapped))).all()
    keys = {p: master.open(w, place=f"data_key:{p}:wrapped") for p, w in rows}
    return Vault(master, keys)


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
