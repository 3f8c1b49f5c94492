"""What somebody types behind the console's sign-in, planted by a browser's requests."""

import json
import re
from urllib.parse import parse_qs, urlsplit

import httpx
import pyotp

from tests.flows.planted import Planted
from tests.flows.stack import Stack

_CSRF = re.compile(r'name="csrf" value="([^"]+)"')
_SEQUENCE = re.compile(r'name="sequence" value="([0-9]+)"')


def work_signed_in(stack: Stack, url: str, planted: Planted, *, reference: str) -> str:
    """Plant passwords, codes and what a session goes by; return the note that was written.

    An admin is let in by the command, is refused twice, signs in, and gives some money back."""
    login, name = planted.token("a login of staff"), planted.token("a name of staff")
    made = _add_user(stack, login, name)
    address = made["authenticator"]
    secret = parse_qs(urlsplit(address).query)["secret"][0]
    planted.ways |= {"a password of staff": made["password"], "a secret of codes": secret}
    note = f"given back to {planted.number('a note')}"
    with httpx.Client(base_url=url, timeout=40, trust_env=False) as http:
        wrong = {"login": login, "password": planted.token("a wrong password of staff")}
        no_code = {"login": login, "password": made["password"]}
        no_code["code"] = planted.token("a wrong code")
        for form in (wrong, no_code):
            assert http.post("/console/sign-in", data=form).status_code == 401
        code = pyotp.TOTP(secret).now()
        entered = http.post("/console/sign-in", data={**no_code, "code": code})
        assert entered.status_code == 303
        page = http.get(f"/console/invoices/{reference}").text
        csrf, sequence = (_found(one, page) for one in (_CSRF, _SEQUENCE))
        planted.ways |= {"a session": http.cookies["betalbar"], "a token of forms": csrf}
        form = {"csrf": csrf, "sequence": sequence, "reason": note, "confirmed": "yes"}
        given = http.post(f"/console/invoices/{reference}/refund", data={**form, "amount": "1.00"})
        assert (given.status_code, given.headers["location"]) == (
            303,
            f"/console/invoices/{reference}",
        )
        unsafe = {"csrf": planted.token("a wrong token of forms"), "reason": note}
        refused = http.post(f"/console/invoices/{reference}/refund", data=unsafe)
        assert refused.status_code == 403
    return note


def _add_user(stack: Stack, login: str, name: str) -> dict[str, str]:
    child = stack.betalbar("users", "add", login, "--role", "admin", "--name", name, "--json")
    child.name = "users-add"
    child.start()
    assert child.process is not None
    assert child.process.wait(300) == 0, child.stderr.read_text()
    made: dict[str, str] = json.loads(child.stdout.read_text())
    return made


def _found(pattern: re.Pattern[str], page: str) -> str:
    found = pattern.search(page)
    assert found is not None, pattern.pattern
    return found[1]
