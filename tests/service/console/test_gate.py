"""Who gets in, what they get, and what another site's page can't make them do."""

import re
from dataclasses import replace

import httpx
import pytest
import sqlalchemy as sa
from sqlmodel import select

from service.staff.sessions import IDLE_END
from service.store.db import Database
from service.store.inserts import table_of
from service.store.tables import Event, StaffSession
from tests.builders import MSN, NOW, ONLY_SQLITE, OTHER_MSN, a_context
from tests.service.console.conftest import Desk, open_desk
from tests.service.console.test_overview import send

pytestmark = ONLY_SQLITE


@pytest.mark.parametrize("path", ["/console", "/console?x=1"])
def test_strangers_are_shown_the_way_in(desk: Desk, path: str) -> None:
    """No page of the console tells a stranger anything; after signing in it comes up."""
    answer = desk.http.get(path)

    assert (answer.status_code, answer.headers["location"]) == (
        303,
        "/console/sign-in?next=/console",
    )


def test_signing_in_opens_the_overview(desk: Desk) -> None:
    """The cookie is kept from scripts and from other sites, and names nobody."""
    answer = desk.sign_in()

    assert (answer.status_code, answer.headers["location"]) == (303, "/console")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    page = desk.http.get("/console")
    assert page.status_code == 200
    assert "Acme" in page.text


def test_cookie_over_https_is_of_this_host_alone(database: Database) -> None:
    """No other host or path of the same domain can set it, and it goes over https only (T36)."""
    outside = {"public_url": "https://pay.example.com"}
    made = a_context(database, MSN, OTHER_MSN)
    context = replace(made, settings=made.settings.model_copy(update=outside))

    with open_desk(context) as desk:
        cookie = desk.sign_in().headers["set-cookie"]

    name, *marks = cookie.split("; ")
    assert name.startswith("__Host-betalbar=")
    assert {"HttpOnly", "Path=/", "SameSite=strict", "Secure"} <= set(marks)
    assert not [mark for mark in marks if mark.startswith("Domain")]


@pytest.mark.parametrize("form", [{"password": "wrong"}, {"login": "nobody"}])
def test_wrong_ones_are_refused_alike(desk: Desk, form: dict[str, str]) -> None:
    """The same words, whether the login exists or not."""
    answer = desk.sign_in(**form)

    assert answer.status_code == 401
    assert "don&#39;t go together" in answer.text
    assert "set-cookie" not in answer.headers


def test_guessing_is_slowed_down(desk: Desk) -> None:
    """After ten tries a minute, the right password waits as well."""
    tried = [desk.sign_in(password="wrong").status_code for _ in range(10)]

    assert set(tried) == {401}
    assert desk.sign_in().status_code == 429
    assert desk.sign_in("support").status_code == 303


def test_signing_out_ends_it(desk: Desk) -> None:
    """The cookie of before opens nothing."""
    desk.sign_in()
    before = dict(desk.http.cookies)

    assert desk.http.post("/console/sign-out").status_code == 403
    csrf = re.search(r'name="csrf" value="([^"]*)"', desk.http.get("/console").text)
    assert csrf
    assert desk.http.post("/console/sign-out", data={"csrf": csrf[1]}).status_code == 303

    assert httpx.get(f"{desk.url}/console", cookies=before).status_code == 303


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["/console/sign-in", "/console/sign-out"])
def test_forms_of_other_sites_are_refused(desk: Desk, headers: dict[str, str], path: str) -> None:
    """Nobody is signed in as another, or out, by a page they happen to open (T37)."""
    answer = desk.http.post(path, data={"login": "viewer"}, headers=headers)

    assert answer.status_code == 403


@pytest.mark.parametrize("csrf", [None, "", "wrong"])
def test_form_without_its_sessions_token_is_refused(desk: Desk, csrf: str | None) -> None:
    """Nor is one that says where it comes from, and not what our pages carry (T37)."""
    desk.sign_in("admin")
    form = {"url": "https://shop.example/in", "csrf": csrf}

    answer = desk.http.post(
        "/console/subscriptions/sub_1/disable",
        data={name: value for name, value in form.items() if value is not None},
        headers={"sec-fetch-site": "same-origin"},
    )

    assert answer.status_code == 403
    assert "out of date" in answer.text


@pytest.mark.parametrize(
    "wanted",
    ["https://evil.example", "//evil.example", "/console\\@evil.example", "/consoles", "/phone"],
)
def test_signing_in_leads_nowhere_else(desk: Desk, wanted: str) -> None:
    """A link to our way in can't send people on to a copy of it."""
    form = {"login": "viewer", "password": "a-good-password", "next": wanted}

    answer = desk.http.post("/console/sign-in", data=form)

    assert answer.headers["location"] == "/console"


def test_pages_may_load_and_run_nothing_but_ours(desk: Desk) -> None:
    """No cache keeps them, nobody frames them, no inline script or style runs."""
    desk.sign_in()

    headers = desk.http.get("/console").headers

    assert headers["cache-control"] == "no-store"
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"


def test_forms_are_small(desk: Desk) -> None:
    """Nobody fills the memory by the way in."""
    answer = desk.http.post("/console/sign-in", content=b"login=" + b"x" * 100_000)

    assert answer.status_code == 413


def test_only_our_own_files_are_served(desk: Desk) -> None:
    """There is no way out of the folder."""
    names = ("../rendering.py", "..%2frendering.py", "nothing.css", "")

    answers = [desk.http.get(f"/console/assets/{name}").status_code for name in names]

    assert 200 not in answers
    assert (
        desk.http.get("/console/assets/console.css").headers["content-type"].startswith("text/css")
    )


def test_page_that_updates_itself_keeps_nobody_signed_in(desk: Desk) -> None:
    """Its own requests are no sign of life; once signed out it is led to the way in (T36)."""
    desk.sign_in()
    with desk.context.database.transaction() as session:
        row = session.exec(select(StaffSession)).one()
        row.seen_at = seen_at = NOW - IDLE_END / 2
        session.add(row)
    live = desk.http.get("/console", headers={"x-live": "1"})
    with desk.context.database.snapshot() as session:
        assert session.exec(select(StaffSession.seen_at)).one() == seen_at
    desk.http.get("/console")
    with desk.context.database.snapshot() as session:
        assert session.exec(select(StaffSession.seen_at)).one() == NOW
    desk.http.cookies.clear()

    over = desk.http.get("/console/invoices", headers={"x-live": "1"})

    assert live.status_code == 200
    assert over.status_code == 401
    assert over.headers["hx-redirect"] == "/console/sign-in?next=/console/invoices"


def test_what_goes_wrong_is_said_and_found_again_in_the_log(desk: Desk) -> None:
    """A page that can't be shown says so, and by which name the log knows it."""
    send(desk, "acme-0001")
    with desk.context.database.transaction() as session:
        session.execute(sa.update(table_of(Event)).values(payload=b"broken"))
    desk.sign_in()

    broken, nowhere = desk.http.get("/console/feed"), desk.http.get("/console/else/where")

    assert (broken.status_code, nowhere.status_code) == (500, 404)
    assert re.search(r"The log knows it as trc_\w{26}", broken.text)
    assert "To the overview" in broken.text and "To the overview" in nowhere.text
