"""AES-256-GCM with a key's id in front and a row's place bound in.

Sealed bytes: version (1) | key id (4) | nonce (12) | ciphertext and tag.
"""

import hashlib
import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from service.errors import ServiceError

_VERSION = b"\x01"
_KEY_ID_BYTES = 4
_NONCE_BYTES = 12
_HEAD_BYTES = len(_VERSION) + _KEY_ID_BYTES + _NONCE_BYTES


class SealBroken(ServiceError):
    """Sealed bytes could not be opened: another key, another place, or changed."""


class Box:
    """Seals with the first key, opens with any of them."""

    __slots__ = ("_ciphers", "_current")

    def __init__(self, keys: Sequence[bytes]) -> None:
        """Take 32-byte keys, newest first."""
        self._ciphers = {_key_id(key): AESGCM(key) for key in keys}
        self._current = _key_id(keys[0])

    def seal(self, plain: bytes, *, place: str) -> bytes:
        """Encrypt for one place (`table:row:column`); elsewhere it will not open.

        Random 96-bit nonces: one key may seal 2^32 values (NIST SP 800-38D, 8.3)."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._ciphers[self._current].encrypt(nonce, plain, place.encode())
        return b"".join((_VERSION, self._current, nonce, sealed))

    def can_open(self, sealed: bytes) -> bool:
        """Tell whether one of this box's keys has sealed it; it may still be broken."""
        return bytes(sealed[1 : 1 + _KEY_ID_BYTES]) in self._ciphers

    def open(self, sealed: bytes, *, place: str) -> bytes:
        """Decrypt what was sealed for this place. Raises: SealBroken."""
        cipher = self._ciphers.get(bytes(sealed[1 : 1 + _KEY_ID_BYTES]))
        if cipher is None or sealed[:1] != _VERSION:
            raise SealBroken
        nonce = bytes(sealed[1 + _KEY_ID_BYTES : _HEAD_BYTES])
        try:
            return cipher.decrypt(nonce, bytes(sealed[_HEAD_BYTES:]), place.encode())
        except (InvalidTag, ValueError) as error:
            raise SealBroken from error


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"betalbar key id" + key).digest()[:_KEY_ID_BYTES]
