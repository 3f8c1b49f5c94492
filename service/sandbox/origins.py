"""Who has a browser send a request: one of our own pages, or a page of another site.

The sandbox has no login, so a page on the web that a developer happens to have open could
have their browser pay, refuse or turn the clock.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

from service.sandbox.problems import plain


def check_sender(headers: Mapping[str, str], public_url: str) -> None:
    """Pass unless a browser says that another site's page sent this. Raises: Refused.

    `headers` have lower-case names. Reading needs no check: what another site's page may
    send without being asked for more, it may not read.
    """
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    # Browsers leave the first out on plain http. Without both it is no browser.
    if site is None:
        hosts = (headers.get("host"), urlsplit(public_url).netloc)
        is_ours = origin is None or urlsplit(origin).netloc in hosts
    else:
        is_ours = site == "same-origin"
    if not is_ours:
        raise plain(403, "A browser sent this from another site's page.")
