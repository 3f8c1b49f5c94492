"""The look through all services' logs finds what it is to find."""

from pathlib import Path

import pytest

from tests.written import Written

_KEY = "a-master-key-of-the-tests-0123456789"


@pytest.mark.parametrize(
    ("line", "is_found"),
    [
        ('{"event": "api_call", "path": "/v1/invoices"}', False),
        ('{"reference": "acme-4791234567-1", "count": 4791}', False),
        ('{"path": "/v1/customers/4791234567"}', True),
        ("asked +4791234567", True),
        ('{"event": "Kari Nordmann"}', True),
        (f"opened with {_KEY}", True),
        (_KEY.encode().hex(), True),
        ("k", False),
    ],
)
def test_log_that_shows_a_secret_or_a_number_is_found(
    tmp_path: Path, line: str, *, is_found: bool
) -> None:
    """Whatever a service was started with, and whoever was asked, is no line of its log."""
    log, written = tmp_path / "service.err", Written()
    log.write_text(f"first\n{line}\nlast\n")
    settings = {"BETALBAR_MASTER_KEYS": f"{_KEY},k", "BETALBAR_PORT": "8080"}

    written.watch(log, tmp_path / "never-written.err", environment=settings)

    assert written.shown() == ([str(log)] if is_found else [])
