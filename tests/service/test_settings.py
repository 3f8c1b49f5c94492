"""Every setting of the contract, section 8: its default, its reading, its errors."""

import ipaddress
from datetime import time
from pathlib import Path

import pytest

from service.errors import SettingsInvalid
from service.settings import (
    QuietHours,
    Settings,
    is_loopback,
    load_settings,
    parse_quiet_hours,
)

REAL = {
    "BETALBAR_VIPPS_URL": "https://api.vipps.no",
    "BETALBAR_PUBLIC_URL": "https://pay.example.com",
}

_DEFAULTS = {
    "database_url": "sqlite:///betalbar.db",
    "host": "127.0.0.1",
    "port": 8080,
    "base_url": "http://127.0.0.1:8080",
    "upstream_url": "http://127.0.0.1:8080",
    "has_built_in_sandbox": True,
    "is_vipps_real": False,
    "is_vipps_production": True,
    "msn": "123456",
    "merchant_name": "Demo merchant",
    "currency": "NOK",
    "soft_dismiss_after_s": 600,
    "payment_lifetime_s": 86_400,
    "push_again_after_s": 172_800,
    "max_pushes": 3,
    "quiet_hours": "21:00-08:00",
    "subscriber_allow": (),
    "webhook_tolerance_s": 300,
    "broker_url": "",
    "api_key": "",
    "master_keys": "",
    "key_file": Path("betalbar.db.keys"),
}


@pytest.mark.parametrize("name", _DEFAULTS)
def test_default_is_the_documented_one(name: str) -> None:
    """Without a single setting the service runs, against its own sandbox."""
    assert getattr(load_settings({}), name) == _DEFAULTS[name]


_GIVEN: dict[str, tuple[str, str, object]] = {
    "DATABASE_URL": ("postgresql://u@h/d", "database_url", "postgresql://u@h/d"),
    "HOST": ("0.0.0.0", "host", "0.0.0.0"),  # noqa: S104
    "PORT": ("9000", "local_url", "http://127.0.0.1:9000"),
    "PUBLIC_URL": ("https://pay.example.com/", "base_url", "https://pay.example.com"),
    "VIPPS_URL": ("http://127.0.0.1:9999/", "upstream_url", "http://127.0.0.1:9999"),
    "VIPPS_CLIENT_ID": ("id", "vipps_client_id", "id"),
    "VIPPS_CLIENT_SECRET": ("s", "vipps_client_secret", "s"),
    "VIPPS_SUBSCRIPTION_KEY": ("k", "vipps_subscription_key", "k"),
    "VIPPS_MSN": ("987654", "msn", "987654"),
    "VIPPS_WEBHOOK_SECRET": ("w", "vipps_webhook_secret", "w"),
    "MERCHANT_NAME": ("Acme", "merchant_name", "Acme"),
    "ORGANISATION_NUMBER": ("123", "organisation_number", "123"),
    "CONTACT_URL": ("https://a.example", "contact_url", "https://a.example"),
    "TERMS_URL": ("https://a.example", "terms_url", "https://a.example"),
    "PRIVACY_URL": ("https://a.example", "privacy_url", "https://a.example"),
    "CURRENCY": ("DKK", "payment_lifetime_s", 5_184_000),
    "API_KEY": ("key", "api_key", "key"),
    "MASTER_KEYS": ("a,b", "master_keys", "a,b"),
    "SOFT_DISMISS_AFTER_S": ("60", "soft_dismiss_after_s", 60),
    "MAX_PAYMENT_LIFETIME_S": ("3600", "payment_lifetime_s", 3600),
    "PUSH_AGAIN_AFTER_S": ("60", "push_again_after_s", 60),
    "MAX_PUSHES": ("1", "max_pushes", 1),
    "QUIET_HOURS": ("", "quiet_hours", ""),
    "SUBSCRIBER_ALLOW": (
        "127.0.0.0/8, ::1/128",
        "subscriber_allow",
        (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")),
    ),
    "TRUSTED_PROXIES": ("127.0.0.1", "trusted_proxies", (ipaddress.ip_network("127.0.0.1"),)),
    "CONNECTIONS_MAX": ("20", "connections_max", 20),
    "CONNECTIONS_PER_ADDRESS_MAX": ("5", "connections_per_address_max", 5),
    "BROKER_URL": ("nats://localhost", "broker_url", "nats://localhost"),
    "BROKER_CREDENTIALS": (__file__, "broker_credentials", __file__),
    "DATABASE_DIRECT_URL": ("", "is_database_pooled", False),
    "LOG": ("json", "log", "json"),
}


@pytest.mark.parametrize("name", _GIVEN)
def test_variable_is_read(name: str) -> None:
    """Each variable of the documentation does something."""
    text, field, expected = _GIVEN[name]

    assert getattr(load_settings({f"BETALBAR_{name}": text}), field) == expected


def test_environment_of_the_process_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment is where settings come from."""
    monkeypatch.setenv("BETALBAR_PORT", "9001")

    assert load_settings().port == 9001


def test_environment_given_by_hand_is_the_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is handed over counts alone, and variables of others are not ours."""
    monkeypatch.setenv("BETALBAR_PORT", "9001")

    settings = load_settings({"HOST": "evil.example", "PORT": "1"})

    assert (settings.host, settings.port) == ("127.0.0.1", 8080)


_WRONG = {
    "DATABASE_URL": ["mysql://h/d", "nonsense", "sqlite://", "sqlite:///:memory:"],
    "PORT": ["0", "65536", "http", ""],
    "PUBLIC_URL": ["pay.example.com", "ftp://pay.example.com"],
    "VIPPS_URL": ["api.vipps.no"],
    "VIPPS_MSN": ["12", "abcdef"],
    "CURRENCY": ["USD", "nok"],
    "SOFT_DISMISS_AFTER_S": ["0", "ten"],
    "MAX_PUSHES": ["0"],
    "QUIET_HOURS": ["21:00", "late", "21:00-25:00"],
    "SUBSCRIBER_ALLOW": ["everything", "10.0.0.1/8"],
    "TRUSTED_PROXIES": ["nginx", "10.0.0.1/8"],
    "CONNECTIONS_MAX": ["0", "many"],
    "DATABASE_DIRECT_URL": ["nonsense", "sqlite:///a.db"],
    "LOG": ["xml"],
}


@pytest.mark.parametrize(("name", "text"), [(n, t) for n, ts in _WRONG.items() for t in ts])
def test_wrong_value_is_refused_by_its_variable(name: str, text: str) -> None:
    """A slip is told by the name of the variable, before anything starts."""
    with pytest.raises(SettingsInvalid, match=f"BETALBAR_{name}: "):
        load_settings({f"BETALBAR_{name}": text})


def test_all_wrong_values_are_told_at_once() -> None:
    """One round of mending is enough."""
    with pytest.raises(SettingsInvalid) as refused:
        load_settings({"BETALBAR_PORT": "x", "BETALBAR_LOG": "x"})

    assert [line.split(":")[0] for line in str(refused.value).splitlines()] == [
        "BETALBAR_PORT",
        "BETALBAR_LOG",
    ]


def test_real_vipps_needs_https_and_whole_keys() -> None:
    """Towards the real Vipps nothing goes in clear, and no half of the keys is taken."""
    with pytest.raises(SettingsInvalid, match="BETALBAR_PUBLIC_URL must be https"):
        load_settings({"BETALBAR_VIPPS_URL": "https://api.vipps.no"})
    with pytest.raises(SettingsInvalid, match="BETALBAR_VIPPS_CLIENT_SECRET") as refused:
        load_settings({**REAL, "BETALBAR_VIPPS_CLIENT_ID": "the-client-id"})

    assert "the-client-id" not in str(refused.value)
    assert load_settings(REAL).is_vipps_real


def test_api_key_that_can_be_guessed_is_refused_where_money_is_real() -> None:
    """Beside a real Vipps a short key is no key; on my own machine any word will do."""
    with pytest.raises(SettingsInvalid, match="BETALBAR_API_KEY has 32 characters") as refused:
        load_settings({**REAL, "BETALBAR_API_KEY": "k" * 31})

    assert "kkk" not in str(refused.value)
    assert load_settings({**REAL, "BETALBAR_API_KEY": "k" * 32}).api_key == "k" * 32
    assert load_settings({"BETALBAR_API_KEY": "k"}).api_key == "k"


@pytest.mark.parametrize(
    ("url", "is_real", "is_production"),
    [
        ("", False, True),
        ("http://localhost:9999", False, True),
        ("http://[::1]:9999", False, True),
        ("https://apitest.vipps.no", True, False),
        ("https://api.vipps.no", True, True),
    ],
)
def test_vipps_is_known_by_its_address(url: str, is_real: bool, is_production: bool) -> None:
    """Whether money is real is told by where Vipps is, and by nothing else."""
    settings = load_settings({**REAL, "BETALBAR_VIPPS_URL": url})

    assert (settings.is_vipps_real, settings.is_vipps_production) == (is_real, is_production)


def test_secrets_are_not_shown() -> None:
    """Settings can be printed without giving anything away."""
    names = (
        "VIPPS_CLIENT_ID VIPPS_CLIENT_SECRET VIPPS_SUBSCRIPTION_KEY VIPPS_WEBHOOK_SECRET"
        " API_KEY MASTER_KEYS"
    )
    given = {f"BETALBAR_{name}": "hidden-value" for name in names.split()}
    given["BETALBAR_DATABASE_URL"] = "postgresql://user:hidden-value@db/betalbar"
    given["BETALBAR_DATABASE_DIRECT_URL"] = given["BETALBAR_DATABASE_URL"]
    given["BETALBAR_BROKER_URL"] = "nats://user:hidden-value@broker"

    settings = load_settings(given)

    assert "hidden-value" not in f"{settings!r} {settings}"


def test_settings_can_not_be_changed() -> None:
    """What was read at the start holds until the end."""
    with pytest.raises(ValueError, match="frozen"):
        load_settings({}).port = 1


def test_address_of_ipv6_has_brackets() -> None:
    """A host of the newer kind makes a URL that works."""
    assert load_settings({"BETALBAR_HOST": "::1"}).local_url == "http://[::1]:8080"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", None), ("21:00-08:00", QuietHours(time(21), time(8)))],
)
def test_quiet_hours_are_two_times_or_none(text: str, expected: QuietHours | None) -> None:
    """Nobody is asked at night, unless I say so."""
    assert parse_quiet_hours(text) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.9.9.9", True),
        ("http://localhost:1", True),
        ("http://[::1]", True),
        ("http://localhost.example", False),
        ("http://10.0.0.1", False),
        ("https://api.vipps.no", False),
    ],
)
def test_loopback_is_this_machine_only(url: str, expected: bool) -> None:
    """Only what can't leave the machine counts as not real."""
    assert is_loopback(url) is expected


def test_settings_of_the_table_are_all_there_are() -> None:
    """No variable exists that nobody documents, but those that the contract leaves to us."""
    names = {name.upper() for name in Settings.model_fields}

    assert names - {
        *("WEBHOOK_TOLERANCE_S", "MOBILEPAY_UNTIL", "ATTEMPTS_KEPT_DAYS", "METRICS_KEY"),
        *("REFUND_ALONE_MAX_MINOR", "KEY_CALLS_PER_MINUTE", "TRACES_URL"),
        *("DELIVERIES_KEPT_DAYS", "BODIES_KEPT_DAYS", "EVENTS_KEPT_DAYS", "ARCHIVE_FOLDER"),
    } == set(_GIVEN)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"DELIVERIES_KEPT_DAYS": "6"}, "DELIVERIES_KEPT_DAYS must be at least 7"),
        ({"EVENTS_KEPT_DAYS": "2921"}, "at least 2922, or 90 with BETALBAR_ARCHIVE_FOLDER"),
        ({"BODIES_KEPT_DAYS": "89", "ARCHIVE_FOLDER": "/a"}, "must be at least 90"),
    ],
)
def test_what_books_rest_on_is_not_let_go_of_by_a_slip_of_the_pen(
    given: dict[str, str], reason: str
) -> None:
    """Sooner than the law allows is refused, unless an archive keeps it."""
    with pytest.raises(SettingsInvalid, match=reason):
        load_settings({f"BETALBAR_{name}": value for name, value in given.items()})


def test_what_is_archived_may_go_after_a_quarter() -> None:
    """A day more than too little is enough."""
    with_archive = {"BETALBAR_EVENTS_KEPT_DAYS": "90", "BETALBAR_ARCHIVE_FOLDER": "/a"}

    assert load_settings(with_archive).events_kept_days == 90
    assert load_settings({"BETALBAR_BODIES_KEPT_DAYS": "2922"}).bodies_kept_days == 2922
    assert load_settings({"BETALBAR_DELIVERIES_KEPT_DAYS": "7"}).deliveries_kept_days == 7


@pytest.mark.parametrize(
    "url", ["broker:4222", "http://a:hidden-value@b", "nats://", "nats://a,kafka://b", "nats://a:x"]
)
def test_broker_that_is_no_nats_is_refused_without_showing_it(url: str) -> None:
    """A mistyped URL is said at the start, and the password in it is not."""
    with pytest.raises(SettingsInvalid) as refused:
        load_settings({"BETALBAR_BROKER_URL": url})

    assert str(refused.value).startswith("BETALBAR_BROKER_URL: a URL such as nats://")
    assert "hidden-value" not in str(refused.value)
