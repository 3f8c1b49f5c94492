"""What Vipps published and really sent comes out of our own code, byte for byte."""

import pytest

from tests.webhooks import vectors
from tests.webhooks.builders import HOST, NOW, PATH
from webhooks import vipps
from webhooks.vipps import SignedRequest

PREFIX = "HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature="


def the_docs_request(signature: str) -> SignedRequest:
    """Return the request of Vipps's documentation with that signature."""
    host, path = vipps.authority_and_path(vectors.DOCS_URL)
    headers = (
        (b"x-ms-date", vectors.DOCS_DATE.encode()),
        (b"x-ms-content-sha256", vectors.DOCS_HASH.encode()),
        (b"authorization", (PREFIX + signature).encode()),
    )
    return SignedRequest("POST", path, host, headers, vectors.DOCS_BODY)


@pytest.mark.parametrize(
    ("secret", "signature"),
    [
        (vectors.DOCS_SECRET, vectors.DOCS_SIGNATURE),
        (vectors.BLANKED_SECRET, vectors.BLANKED_SIGNATURE),
    ],
    ids=["2023", "blanked"],
)
def test_published_vector_verifies(secret: str, signature: str) -> None:
    """Vipps's own example must pass, or no real webhook will."""
    request = the_docs_request(signature)

    matched = vipps.verify(request, [secret], vectors.DOCS_AT)

    assert matched == 0


@pytest.mark.parametrize(
    ("secret", "signature"),
    [
        (vectors.DOCS_SECRET, vectors.DOCS_SIGNATURE),
        (vectors.BLANKED_SECRET, vectors.BLANKED_SIGNATURE),
    ],
    ids=["2023", "blanked"],
)
def test_sign_makes_the_published_headers(secret: str, signature: str) -> None:
    """The sandbox must sign exactly as Vipps does."""
    host, path = vipps.authority_and_path(vectors.DOCS_URL)

    headers = vipps.sign(
        method="POST",
        path_and_query=path,
        host=host,
        body=vectors.DOCS_BODY,
        secret=secret,
        at=vectors.DOCS_AT,
    )

    assert headers == {
        "X-Ms-Date": vectors.DOCS_DATE,
        "X-Ms-Content-Sha256": vectors.DOCS_HASH,
        "Authorization": PREFIX + signature,
        "X-Vipps-Authorization": PREFIX + signature,
    }


@pytest.mark.parametrize(
    ("body", "length", "content_hash"), vectors.CAPTURED_BODIES, ids=["paymenter", "odoo"]
)
def test_captured_body_has_the_hash_vipps_sent(body: bytes, length: int, content_hash: str) -> None:
    """We hash a real delivery to what Vipps wrote beside it."""
    headers = vipps.sign(
        method="POST", path_and_query=PATH, host=HOST, body=body, secret="any", at=NOW
    )

    assert len(body) == length
    assert headers["X-Ms-Content-Sha256"] == content_hash


@pytest.mark.parametrize(
    ("url", "host", "path"),
    [
        ("https://pay.example/webhooks/vipps/123456", "pay.example", "/webhooks/vipps/123456"),
        ("https://PAY.example:443/a", "pay.example", "/a"),
        ("https://pay.example:8443/a?b=c&d", "pay.example:8443", "/a?b=c&d"),
        ("http://127.0.0.1:8080/a", "127.0.0.1:8080", "/a"),
        ("http://127.0.0.1:80", "127.0.0.1", "/"),
        ("https://pay.example:80/", "pay.example:80", "/"),
        ("https://user@pay.example/%2e//a;b", "pay.example", "/%2e//a;b"),
        ("https://[2001:DB8::1]:9000?x", "[2001:db8::1]:9000", "/?x"),
    ],
)
def test_authority_and_path_split_as_vipps_does(url: str, host: str, path: str) -> None:
    """Host and path are signed as Vipps's C# reads them from the registered URL."""
    assert vipps.authority_and_path(url) == (host, path)


@pytest.mark.parametrize("url", ["", "pay.example/x", "ftp://pay.example/", "https:///x"])
def test_authority_and_path_without_a_host_is_refused(url: str) -> None:
    """A public URL that is no URL is told at start, not by failing webhooks."""
    with pytest.raises(ValueError, match="absolute"):
        vipps.authority_and_path(url)
