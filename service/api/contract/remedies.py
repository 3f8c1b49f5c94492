"""Every code that a refusal can carry: when it comes, and what to do about it.

`docs/errors.md` and the document's problems are made of this table; a test holds it to what the
code raises.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Explained:
    """One code; `when` and `remedy` complete the sentences "it comes when" and "then"."""

    status: int
    when: str
    remedy: str


EXPLAINED: Mapping[str, Explained] = MappingProxyType(
    {
        "not_json": Explained(
            400,
            "the body is not one JSON object, has a key twice, NaN, or is nested too deep",
            "send JSON",
        ),
        "not_http": Explained(
            400,
            "what came is not HTTP/1.1; the connection is closed",
            "mend the client, or what stands between",
        ),
        "unauthorized": Explained(
            401,
            "no API key, an unknown one, or one that was revoked or has expired",
            "`betalbar keys create`",
        ),
        "scope_missing": Explained(
            403,
            "the API key is good, and may not do this",
            "use a key with the scope that `detail` names",
        ),
        "not_found": Explained(
            404,
            "nothing of *this* sales unit has that name; another's looks the same",
            "check the name and the key",
        ),
        "method_not_allowed": Explained(
            405,
            "the address exists, the method does not",
            "see `Allow`",
        ),
        "action_refused": Explained(
            409,
            "the state machine says no; nothing changed",
            "choose one of `availableActions`",
        ),
        "amount_too_high": Explained(
            409,
            "more than remains to capture or refund, commands under way counted",
            "read `aggregate`, ask for less",
        ),
        "being_released": Explained(
            409,
            "the reservation is being released",
            "wait for `invoice.cancelled`",
        ),
        "being_withdrawn": Explained(
            409,
            "the invoice is being withdrawn",
            "wait for `invoice.terminated`",
        ),
        "captured_already": Explained(
            409,
            "`paid-elsewhere`, although money was captured in Vipps before",
            'send `"refund": true`, or settle it with the customer',
        ),
        "conflict": Explained(
            409,
            "something else than this sales unit's present state is needed",
            "read the `detail`",
        ),
        "consent_missing": Explained(
            409,
            "no consent of the customer to be asked in the app is known",
            "record it with the customer, or send the link",
        ),
        "consent_withdrawn": Explained(
            409,
            "the customer does not want to be asked in the app",
            "send the page's link",
        ),
        "customer_erased": Explained(
            409,
            "the person has been erased",
            "make a new invoice without that customer",
        ),
        "phone_number_taken": Explained(
            409,
            "another customer has that number",
            "change that one; `detail` names it",
        ),
        "customer_missing": Explained(
            409,
            "the invoice names nobody to ask in the app",
            "name one in a new invoice, or send the link",
        ),
        "feed_token_outdated": Explained(
            409,
            "the `token` of a FeedAPI call is not the one that `GET /v1/feed` shows",
            "read `/v1/feed` again, and go on from your cursor",
        ),
        "keys_missing": Explained(
            409,
            "the sales unit has no keys for Vipps",
            "set `BETALBAR_VIPPS_CLIENT_ID` and its neighbours",
        ),
        "not_authorized": Explained(
            409,
            "there is no reservation to take money from",
            "wait for `invoice.authorized`",
        ),
        "payable_until_passed": Explained(
            409,
            "it can't be paid any more",
            "push with a new `payableUntil`",
        ),
        "phone_number_missing": Explained(
            409,
            "the customer's number is not known",
            "send the link",
        ),
        "reference_taken": Explained(
            409,
            "another invoice or payment of the sales unit has that reference",
            "choose another; for the same invoice send the same body",
        ),
        "refund_waits": Explained(
            409,
            "in the console: a refund of the invoice waits for a second person already",
            "decide on that one first",
        ),
        "second_person_needed": Explained(
            409,
            "in the console: so much is given back by two people, or the one who asked agrees",
            "let a colleague agree",
        ),
        "replaced_already": Explained(
            409,
            "the invoice in `replaces` is being replaced by another one",
            "see which; replace that one",
        ),
        "replaced_is_open": Explained(
            409,
            "`push`, while the invoice that this one replaces can still be paid, or is",
            "wait until that one has ended; this one is then sent by itself",
        ),
        "replaced_is_paid": Explained(
            409,
            "the invoice in `replaces` is paid",
            "release or refund it first",
        ),
        "request_in_progress": Explained(
            409,
            "the first request with that `Idempotency-Key` is still under way",
            "try again in a second",
        ),
        "login_taken": Explained(
            409,
            "`betalbar users add` with a login that somebody has",
            "another login",
        ),
        "changed_meanwhile": Explained(
            409,
            "in the console: the invoice has changed since it was looked at",
            "look again, then decide",
        ),
        "sales_unit_exists": Explained(
            409,
            "`betalbar sales-units add` for an MSN that is there",
            "nothing, or another MSN",
        ),
        "subscription_disabled": Explained(
            409,
            "`replay` or `redeliver`, while the subscription is disabled",
            '`PATCH` it with `"status": "healthy"`, then ask again',
        ),
        "too_many_secrets": Explained(
            409,
            "five secrets of the subscription sign already",
            'wait until one has ended, or rotate with `"overlapSeconds": 0`',
        ),
        "too_many_subscriptions": Explained(
            409,
            "the sales unit has as many as it may",
            "delete one that is not used",
        ),
        "no_longer_kept": Explained(
            410,
            "the cursor stands before the feed's beginning, or `from` before what is kept; events "
            "in between were told, and are gone (`BETALBAR_EVENTS_KEPT_DAYS`)",
            "read on from `_first`, and fetch the invoices you may have missed; or take the `from` "
            "that `detail` names",
        ),
        "precondition_failed": Explained(
            412,
            "it has changed since the version in `If-Match`",
            "read it again, then decide again",
        ),
        "body_too_large": Explained(
            413,
            "the body is over 256 KiB, or the document over 10 MiB",
            "send less",
        ),
        "request_too_slow": Explained(
            408,
            "the headers took more than 10 s, or the body more than 10 s and a second for each"
            " 128 KiB; nothing was done",
            "send it again, over a faster line",
        ),
        "upload_too_slow": Explained(
            408,
            "the document took more than a minute to arrive; nothing of it was kept",
            "send it again, over a faster line",
        ),
        "unsupported_media": Explained(
            415,
            "a document that is not sent as `application/pdf`",
            "send a PDF, and say so in `Content-Type`",
        ),
        "invalid_input": Explained(
            422,
            "one or more fields are wrong; `errors` names each",
            "mend them all, then send again",
        ),
        "idempotency_key_reused": Explained(
            422,
            "that `Idempotency-Key` came with another body or address before",
            "use a new key for a new request",
        ),
        "too_many_requests": Explained(
            429,
            "the API key sends more than `BETALBAR_KEY_CALLS_PER_MINUTE` to this process",
            "wait for `Retry-After`",
        ),
        "too_many_streams": Explained(
            429,
            "this API key has ten streams of events open in this process",
            "close one, or use a key for each system",
        ),
        "headers_too_large": Explained(
            431,
            "there are more than 100 headers, or, with the address, more than 16 KiB of them",
            "send fewer, and fewer cookies",
        ),
        "internal": Explained(
            500,
            "a mistake of ours; nothing half done is kept",
            "tell us the `traceId`",
        ),
        "upstream_failed": Explained(
            502,
            "Vipps did not do it",
            "see `upstream`",
        ),
        "upstream_rejected": Explained(
            502,
            "Vipps said no, with `upstream.code`",
            "see Vipps's list of codes",
        ),
        "recovering": Explained(
            503,
            "the sales unit was restored from a backup, and what Vipps did since is being read;"
            " nothing was changed or kept",
            "ask again after `Retry-After`; the same `Idempotency-Key` is good",
        ),
        "database_away": Explained(
            503,
            "nothing could be read or stored, so nothing was changed",
            "try again after `Retry-After`",
        ),
        "read_too_long": Explained(
            503,
            "PostgreSQL took more than 2 s for a statement and broke it off; nothing was changed",
            "ask for less: another filter, a shorter time, a smaller `limit`; or try again",
        ),
        "overloaded": Explained(
            503,
            "as much is under way, or as many connections are open, as may be; nothing was done",
            "try again after `Retry-After`",
        ),
        "too_many_uploads": Explained(
            503,
            "five documents come in at once already; nothing of this one was kept",
            "try again after `Retry-After`",
        ),
        "schema_outdated": Explained(
            503,
            "the database waits for `betalbar migrate`",
            "try again after the update",
        ),
        "upstream_timeout": Explained(
            504,
            "Vipps did not answer; it may have happened",
            "ask for the invoice",
        ),
    }
)
