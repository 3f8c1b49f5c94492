"""`/docs`: the document in a browser, with nothing of anybody else's."""

from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser import DESKTOP, SMALL, is_too_wide
from tests.service.cli.test_serving import Served

# The viewer draws all operations at once: seconds, on a machine that is busy with other tests.
DRAWN_WITHIN_MS = 90_000


@pytest.mark.parametrize("size", [DESKTOP, SMALL])
def test_docs_show_every_operation_and_ask_nobody_else(
    service: Served, page: Page, size: tuple[int, int]
) -> None:
    """I read the API in a browser, on a telephone too, and nobody is told that I do."""
    page.set_default_timeout(DRAWN_WITHIN_MS)
    asked = set[str]()
    page.on("request", lambda request: asked.add(urlsplit(request.url).netloc))
    page.set_viewport_size({"width": size[0], "height": size[1]})

    page.goto(f"{service.url}/docs")
    capture = page.locator("#operations-Invoices-captureInvoice")
    capture.locator("button.opblock-summary-control").click()

    expect(capture.get_by_text("Without an amount, all that remains.")).to_be_visible(
        timeout=DRAWN_WITHIN_MS
    )
    expect(capture.get_by_text("amount_too_high").first).to_be_visible(timeout=DRAWN_WITHIN_MS)
    assert not is_too_wide(page)
    assert asked - {""} == {urlsplit(service.url).netloc}


def test_docs_can_be_tried_with_a_key(service: Served, page: Page) -> None:
    """I send a first request without a line of code."""
    page.set_default_timeout(DRAWN_WITHIN_MS)
    page.goto(f"{service.url}/docs")
    page.locator("button.authorize").click()
    page.locator("#auth-bearer-value").first.fill(service.key)
    page.locator(".auth-btn-wrapper button.authorize").first.click()
    page.locator("button.btn-done").first.click()
    keys = page.locator("#operations-Service-getSigningKeys")
    keys.locator("button.opblock-summary-control").click()
    keys.get_by_role("button", name="Try it out").click()

    keys.get_by_role("button", name="Execute").click()

    expect(keys.locator(".live-responses-table").get_by_text("whpk_").first).to_be_visible(
        timeout=DRAWN_WITHIN_MS
    )


def test_viewer_is_kept_with_its_licence_and_serves_no_other_file(service: Served) -> None:
    """What is not ours says whose it is; what is not the viewer's is not there."""
    script = httpx.get(f"{service.url}/docs/assets/swagger-ui-bundle.js")
    again = httpx.get(script.url, headers={"If-None-Match": script.headers["ETag"]})
    others = [
        httpx.get(f"{service.url}/docs/assets/{name}").status_code
        for name in ("docs.html", "nothing.js", "..%2fserving.py")
    ]

    assert (script.status_code, again.status_code) == (200, 304)
    assert others == [404, 404, 404]
