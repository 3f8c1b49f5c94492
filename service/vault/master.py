"""Where the master keys come from: the environment, else a file beside the database."""

import base64
import binascii
import contextlib
import os
import tempfile
from pathlib import Path

from service.errors import SettingsInvalid
from service.store.folders import sync_folder

_KEY_BYTES = 32


def load_master_keys(setting: str, *, key_file: Path, is_vipps_real: bool) -> list[bytes]:
    """Return the master keys, newest first.

    `setting` is comma-separated URL-safe base64. Empty: one key is made once and kept in
    `key_file` (mode 0600), never beside a real Vipps. Raises: SettingsInvalid."""
    if setting:
        return [_decode(part.strip()) for part in setting.split(",")]
    if is_vipps_real:
        raise SettingsInvalid(
            "BETALBAR_MASTER_KEYS: must be set with a real Vipps; make one with"
            " `python -c 'import base64, os;"
            " print(base64.urlsafe_b64encode(os.urandom(32)).decode())'`"
        )
    return [_decode(_read_or_make(key_file))]


def _read_or_make(key_file: Path) -> str:
    if not key_file.exists():
        _make(key_file)
    return key_file.read_text().strip()


def _make(key_file: Path) -> None:
    """Make a key, unless another process is faster: then leave the file to its key."""
    # Readable by its owner only, from the first byte on.
    descriptor, draft = tempfile.mkstemp(prefix=f"{key_file.name}.", dir=key_file.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(base64.urlsafe_b64encode(os.urandom(_KEY_BYTES)) + b"\n")
            file.flush()
            # What it seals is durable the moment it is committed, so the key must be too.
            os.fsync(file.fileno())
        # The name appears with the whole key behind it, and once: nobody reads half a key.
        with contextlib.suppress(FileExistsError):
            os.link(draft, key_file)
    finally:
        os.unlink(draft)
    sync_folder(key_file.parent)


def _decode(text: str) -> bytes:
    try:
        key = base64.b64decode(text, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise SettingsInvalid("BETALBAR_MASTER_KEYS: not URL-safe base64") from error
    if len(key) != _KEY_BYTES:
        raise SettingsInvalid("BETALBAR_MASTER_KEYS: each key has 32 bytes")
    return key
