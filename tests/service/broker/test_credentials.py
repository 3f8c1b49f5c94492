"""A broker that knows its users by key: an NKey's seed, or a file of credentials."""

import os
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

import nkeys  # type: ignore[import-untyped]  # it has none
import orjson
import pytest

from service.broker.link import BrokerFailed, Link
from service.errors import SettingsInvalid
from service.settings import load_settings
from tests.nats_server import NatsServer

pytestmark = pytest.mark.anyio


def _a_key(kind: int) -> tuple[str, nkeys.KeyPair]:
    seed = nkeys.encode_seed(os.urandom(32), kind)
    return seed.decode(), nkeys.from_seed(bytearray(seed))


def _public(pair: nkeys.KeyPair) -> str:
    public: bytes = pair.public_key
    return public.decode()


def _token(issuer: nkeys.KeyPair, subject: nkeys.KeyPair, kind: str, **nats: Any) -> str:
    """Return a JWT as `nsc` makes it. Source: github.com/nats-io/jwt"""
    claims = {
        "jti": kind,
        "iat": 1_700_000_000,
        "iss": _public(issuer),
        "sub": _public(subject),
        "name": kind,
        "nats": {"type": kind, "version": 2, **nats},
    }
    head = orjson.dumps({"typ": "JWT", "alg": "ed25519-nkey"})
    signed = b".".join(_base64(part) for part in (head, orjson.dumps(claims)))
    return b".".join((signed, _base64(issuer.sign(signed)))).decode()


def _base64(raw: bytes) -> bytes:
    return urlsafe_b64encode(raw).rstrip(b"=")


async def _reason(server: NatsServer, credentials: Path) -> str:
    link = Link(server.url, credentials)
    try:
        await link.open()
    except BrokerFailed as error:
        return error.reason
    finally:
        await link.close()
    return ""


async def test_nkey_is_proven_and_publishes(tmp_path: Path) -> None:
    """My broker knows us by a public key; the seed in a file is all that we need."""
    seed, pair = _a_key(nkeys.PREFIX_BYTE_USER)
    other, _ = _a_key(nkeys.PREFIX_BYTE_USER)
    users = f"authorization {{ users = [ {{ nkey: {_public(pair)} }} ] }}"
    server = NatsServer(tmp_path / "nats", config=users)
    files = {name: tmp_path / name for name in ("right", "wrong", "broken")}
    for name, text in (("right", f"{seed}\n"), ("wrong", other), ("broken", "SUAB")):
        files[name].write_text(text)
    server.start()

    try:
        link = Link(server.url, files["right"])
        await link.open()
        await link.publish("betalbar.1.invoice.pushed", b"{}", key="evt_1", content_type="x/y")
        await link.close()
        reasons = [await _reason(server, files[name]) for name in ("wrong", "broken")]
        files["broken"].unlink()
        gone = await _reason(server, files["broken"])
    finally:
        server.stop()

    assert (reasons, gone) == (["not_authorized", "bad_credentials"], "bad_credentials")


async def test_file_of_credentials_is_proven(tmp_path: Path) -> None:
    """My cloud gives me a .creds file; it is used as it is."""
    (_, operator), (_, account) = (
        _a_key(kind) for kind in (nkeys.PREFIX_BYTE_OPERATOR, nkeys.PREFIX_BYTE_ACCOUNT)
    )
    (seed, user), (other, _) = (_a_key(nkeys.PREFIX_BYTE_USER) for _ in range(2))
    no_limits = {"subs": -1, "conn": -1, "leaf": -1, "imports": -1, "exports": -1, "data": -1}
    config = (
        f"operator: {_token(operator, operator, 'operator')}\nresolver: MEMORY\n"
        f"resolver_preload: {{ {_public(account)}: "
        f"{_token(operator, account, 'account', limits={**no_limits, 'payload': -1})} }}"
    )
    token = _token(account, user, "user", subs=-1, data=-1, payload=-1)
    right, wrong = tmp_path / "right.creds", tmp_path / "wrong.creds"
    for file, key in ((right, seed), (wrong, other)):
        file.write_text(
            f"-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{key}\n------END USER NKEY SEED------\n"
        )
    server = NatsServer(tmp_path / "nats", options=(), config=config)
    server.start()

    try:
        reasons = [await _reason(server, file) for file in (right, wrong)]
    finally:
        server.stop()

    assert reasons == ["", "not_authorized"]


def test_credentials_that_are_not_there_are_said_at_the_start(tmp_path: Path) -> None:
    """A mistyped path is no surprise at the first event."""
    with pytest.raises(SettingsInvalid, match="BETALBAR_BROKER_CREDENTIALS: a file that is there"):
        load_settings({"BETALBAR_BROKER_CREDENTIALS": str(tmp_path / "none.creds")})
