"""What is to be encrypted is encrypted, and a password is told to nobody else."""

import asyncio
from pathlib import Path

import pytest

from service.broker.link import BrokerFailed, Link
from tests.certificates import loopback_certificate
from tests.nats_server import NatsServer

pytestmark = pytest.mark.anyio

PASSWORD = "secret-CANARY-broker-4711"


async def test_tls_url_is_encrypted_and_the_certificate_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker that nobody vouches for is not connected to; one that is vouched for is."""
    certificate, key = loopback_certificate(tmp_path)
    tls = f'tls {{ cert_file: "{certificate}", key_file: "{key}" }}'
    login = f'authorization {{ user: a, password: "{PASSWORD}" }}'
    server = NatsServer(tmp_path / "nats", config=f"{tls}\n{login}")
    server.start()
    url = f"tls://a:{PASSWORD}@127.0.0.1:{server.port}"

    try:
        with pytest.raises(BrokerFailed, match="unreachable"):
            await Link(url).open()
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        link = Link(url)
        await link.open()
        await link.publish("betalbar.1.test", b"{}", key="evt_1", content_type="text/plain")
        await link.close()
    finally:
        server.stop()


async def test_password_is_not_told_where_encryption_was_stripped() -> None:
    """Somebody in between who says "no TLS here" learns nothing."""
    heard = bytearray()

    async def pretend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","headers":true,"auth_required":true}\r\n')
        while part := await reader.read(1000):
            heard.extend(part)
        writer.close()

    async with await asyncio.start_server(pretend, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        link = Link(f"tls://a:{PASSWORD}@127.0.0.1:{port}")
        with pytest.raises(BrokerFailed, match="not_encrypted"):
            await link.open()
        await link.close()

    assert PASSWORD.encode() not in heard
