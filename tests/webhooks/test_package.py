"""The package's names and errors are what its documentation says."""

import importlib
import inspect
import pkgutil
import re

import pytest

import webhooks
from webhooks import errors

ERRORS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, errors.WebhookError)
]
MODULES = sorted(module.name for module in pkgutil.iter_modules(webhooks.__path__))


def test_all_names_are_there() -> None:
    """What the package promises, it has."""
    exported = [getattr(webhooks, name) for name in webhooks.__all__]

    assert all(inspect.isclass(thing) for thing in exported)
    assert sorted(webhooks.__all__) == webhooks.__all__


def test_error_tree_in_the_docstring_is_the_real_one() -> None:
    """Who catches one class knows what it covers."""
    _, tree, _ = str(errors.__doc__).split("\n\n")
    drawn = []
    above: dict[int, str] = {0: "Exception"}
    for line in tree.splitlines():
        branch, name = re.findall(r"^([│├└─ ]*)(\w+)", line)[0]
        depth = len(branch) // 4
        above[depth + 1] = name
        drawn.append((name, above[depth]))

    assert sorted(drawn) == sorted((kind.__name__, kind.__mro__[1].__name__) for kind in ERRORS)


@pytest.mark.parametrize(
    "kind",
    [k for k in ERRORS if not issubclass(k, errors.MalformedEvent | errors.ForbiddenTarget)],
)
def test_error_without_detail_says_its_docstring(kind: type[errors.WebhookError]) -> None:
    """There is one text for each fault, not two."""
    assert str(kind()) == str(kind.__doc__).splitlines()[0]
    assert str(kind("because")) == "because"


def test_errors_with_parts_keep_them() -> None:
    """A fault in an event says where and why, apart and together."""
    malformed = errors.NotAnEpaymentEvent("amount.value", "not an integer")
    forbidden = errors.ForbiddenTarget("localhost is not open to deliveries")

    assert (malformed.field, malformed.reason) == ("amount.value", "not an integer")
    assert str(malformed) == "amount.value: not an integer"
    assert str(forbidden) == forbidden.reason == "localhost is not open to deliveries"


@pytest.mark.parametrize("name", MODULES)
def test_public_names_are_documented_in_one_line(name: str) -> None:
    """Every public name says in its first line what is true after it."""
    module = importlib.import_module(f"webhooks.{name}")
    public = [
        thing
        for key, thing in vars(module).items()
        if not key.startswith("_") and getattr(thing, "__module__", None) == module.__name__
    ]
    first_lines = [str(thing.__doc__).splitlines()[0] for thing in [module, *public]]

    assert all(line.endswith((".", ";")) and len(line) <= 100 for line in first_lines)


@pytest.mark.parametrize("name", MODULES)
def test_modules_read_no_clock_and_open_nothing(name: str) -> None:
    """The wire formats are pure: time, chance and network come in from outside."""
    source = inspect.getsource(importlib.import_module(f"webhooks.{name}"))
    banned = (
        "import socket",
        "import random",
        "import time",
        "import os",
        ".now(",
        "open(",
        "httpx",
    )

    assert not [word for word in banned if word in source]
