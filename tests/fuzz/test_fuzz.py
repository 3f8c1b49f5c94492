"""A stranger's bytes are refused in an orderly way; Vipps's own get in, by whoever signs them."""

from concurrent.futures import Future
from pathlib import Path

import pytest

from tests.fuzz.__main__ import finding_of
from tests.fuzz.mutants import try_all
from tests.fuzz.parts import CORPUS, WEBHOOKS_EACH, Finding, parts
from tests.fuzz.signer import signed
from tests.fuzz.targets import GENUINE, TARGETS, Broken, must_be_signed
from tests.webhooks import vectors

_SEEDS = sorted(path for path in CORPUS.rglob("*") if path.is_file())


def test_independent_signer_makes_what_vipps_documents() -> None:
    """The signer that judges us is judged by Vipps's own example."""
    host, path = "webhook.site", "/" + vectors.DOCS_URL.rpartition("/")[2]

    sent = signed(
        vectors.DOCS_BODY, secret=vectors.DOCS_SECRET, at=vectors.DOCS_AT, url=(host, path)
    )

    assert sent.date.decode() == vectors.DOCS_DATE
    assert sent.content_hash.decode() == vectors.DOCS_HASH
    assert sent.authorization.decode().endswith(f"&Signature={vectors.DOCS_SIGNATURE}")


def test_no_mutated_webhook_gets_in_and_every_genuine_one_does() -> None:
    """Twenty thousand here, a million by `make fuzz`; T1 to T3."""
    tally = try_all(20_000, seed=4711)

    assert (tally.accepted, tally.foreign, tally.genuine_refused) == ([], [], [])
    assert (tally.mutated, tally.genuine) == (20_000, 1_000)
    # Each way to be wrong was met, so the mutations reach every check.
    assert {"StaleTimestamp", "ContentMismatch", "SignatureMismatch", "MalformedHeader"} == set(
        tally.reasons
    )


@pytest.mark.parametrize("seed", _SEEDS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_kept_inputs_break_nothing(seed: Path) -> None:
    """What was once found, and what each target begins with, holds for ever."""
    TARGETS[seed.parent.name](seed.read_bytes())


def test_every_target_begins_somewhere() -> None:
    """A fuzzer that starts from nothing finds nothing."""
    assert {path.parent.name for path in _SEEDS} == set(TARGETS)


def test_everything_is_fuzzed_and_no_webhook_is_left_out() -> None:
    """What runs side by side is all of it: each target, both ways to ask, all the webhooks."""
    to_do = parts(seconds=1, webhooks=2 * WEBHOOKS_EACH + 1, seed=1)

    sizes = [to_do[f"webhooks {number}"].args[0] for number in (1, 2, 3)]
    assert set(to_do) >= {*TARGETS, "stories", "operations"}
    assert (len(to_do), sizes) == (len(TARGETS) + 5, [WEBHOOKS_EACH, WEBHOOKS_EACH, 1])


def test_part_that_could_not_be_done_is_wrong() -> None:
    """A fuzzer that falls over has shown nothing, and is not taken for one that found nothing."""
    fallen, done = Future[Finding](), Future[Finding]()
    fallen.set_exception(OSError("no port is free"))
    done.set_result(Finding("all done"))

    assert "no port is free" in finding_of(fallen).wrong[0]
    assert finding_of(done).wrong == ()


def test_oracle_notices_what_it_looks_for() -> None:
    """The fuzzing can fail: what the independent signer has not signed is not genuine."""
    must_be_signed(GENUINE.headers, GENUINE.body)

    with pytest.raises(Broken):
        must_be_signed(GENUINE.headers, GENUINE.body + b" ")
