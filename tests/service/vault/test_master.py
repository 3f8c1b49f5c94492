"""Master keys: from the setting, else from a file made once, never beside a real Vipps."""

import base64
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from service.errors import SettingsInvalid
from service.vault import load_master_keys

ONE, OTHER = (base64.urlsafe_b64encode(byte * 32).decode() for byte in (b"1", b"2"))


def _load(setting: str, folder: Path, *, is_vipps_real: bool = False) -> list[bytes]:
    return load_master_keys(setting, key_file=folder / "b.keys", is_vipps_real=is_vipps_real)


def test_setting_gives_the_keys_newest_first(tmp_path: Path) -> None:
    """The first key seals; the others still open."""
    assert _load(f"{ONE}, {OTHER}", tmp_path) == [b"1" * 32, b"2" * 32]
    assert list(tmp_path.iterdir()) == []


def test_file_is_made_once_and_kept_for_its_owner_only(tmp_path: Path) -> None:
    """A developer needs no key, and a neighbour on the machine can't read it."""
    made = _load("", tmp_path)

    again = _load("", tmp_path)

    (file,) = tmp_path.iterdir()
    assert made == again and len(made[0]) == 32
    assert (file.name, stat.S_IMODE(file.stat().st_mode)) == ("b.keys", 0o600)


def test_processes_that_start_at_once_have_the_same_key(tmp_path: Path) -> None:
    """Nobody seals with a key that another one has overwritten, or reads half a key."""
    together = Barrier(8)

    def load(_: int) -> list[bytes]:
        together.wait()
        return _load("", tmp_path)

    with ThreadPoolExecutor(8) as pool:
        keys = {tuple(made) for made in pool.map(load, range(8))}

    assert len(keys) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["b.keys"]


def test_real_vipps_needs_a_key_that_is_set(tmp_path: Path) -> None:
    """Real people's data is never sealed with a key that lies beside it."""
    with pytest.raises(SettingsInvalid, match="BETALBAR_MASTER_KEYS"):
        _load("", tmp_path, is_vipps_real=True)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("setting", ["short", "not base64!", f"{ONE},", ONE.replace("=", "")])
def test_key_that_is_none_is_refused_without_being_shown(tmp_path: Path, setting: str) -> None:
    """A slip in the setting is named, its value is not."""
    with pytest.raises(SettingsInvalid, match="BETALBAR_MASTER_KEYS") as refused:
        _load(setting, tmp_path)

    assert setting not in str(refused.value)
