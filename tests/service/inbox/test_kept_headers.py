"""Which headers of a webhook are kept as evidence."""

import orjson

from service.inbox.kept_headers import kept_headers
from tests.service.inbox.posting import raw_headers


def _kept(*headers: tuple[bytes, bytes]) -> list[list[str]]:
    found: list[list[str]] = orjson.loads(kept_headers(headers))
    return found


def test_vipps_own_headers_are_kept() -> None:
    """All that a signature covers and says is there, in its order."""
    signed = raw_headers(b"{}")
    own = [(b"User-Agent", b"Vipps MobilePay/1.0 Webhooks/1.0"), (b"Webhook-Id", b"1")]

    kept = _kept(*signed, *own, (b"content-type", b"application/json"), (b"host", b"pay.example"))

    names = [name for name, _ in kept]
    assert names[:4] == [name.decode() for name, _ in signed]
    assert names[4:] == ["user-agent", "webhook-id", "content-type", "host"]


def test_others_headers_and_their_passwords_are_not_kept() -> None:
    """What a proxy adds says nothing about Vipps, and may be a secret or a person's address."""
    kept = _kept(
        (b"authorization", b"Basic c2VjcmV0"),
        (b"cookie", b"session=1"),
        (b"x-forwarded-for", b"192.0.2.7"),
        (b"x-vipps-authorization", b"Bearer secret"),
        (b"x-vipps-\xff", b"odd"),
    )

    assert kept == []


def test_kept_headers_are_few_and_short() -> None:
    """Nobody fills my disk with headers."""
    many = [(b"x-vipps-n", b"\xff" * 5000)] * 100

    kept = _kept(*many)

    assert len(kept) == 32
    assert {len(value) for _, value in kept} == {1000}
