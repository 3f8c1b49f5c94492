"""The parts of the fuzzing, each of which is a process's work: what was done, and what is wrong."""

import importlib.util
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

from tests.fuzz.mutants import try_all
from tests.fuzz.stories import ENDLESS, UPLOAD, Told, tell_stories
from tests.fuzz.targets import TARGETS
from tests.service.cli.test_serving import served

CORPUS = Path(__file__).parent / "corpus"
# Found inputs and crashes are kept here, outside the repository.
_FOUND = "betalbar-fuzz-"
# A part of a stated size, so that as many can run side by side as there are cores.
WEBHOOKS_EACH = 250_000
# One bug refuses or accepts thousands; the first ones say enough, and the tally counts all.
_SHOWN_MAX = 10


@dataclass(frozen=True, slots=True)
class Finding:
    """What one part did, in a line, and what it found to be wrong."""

    done: str
    wrong: tuple[str, ...] = ()


Part = partial[Finding]


def parts(*, seconds: int, webhooks: int, seed: int) -> Mapping[str, Part]:
    """Return all that is to be done, by name, the longest first."""
    by_time: dict[str, Part] = {}
    if seconds:
        by_time = {
            "stories": partial(tell, seconds, seed),
            "operations": partial(ask_each, seconds, seed),
            **{name: partial(fuzz, name, seconds, seed) for name in TARGETS},
        }
    starts = range(0, webhooks, WEBHOOKS_EACH)
    sizes = [min(WEBHOOKS_EACH, webhooks - start) for start in starts]
    return by_time | {
        f"webhooks {number}": partial(mutate, size, seed + number)
        for number, size in enumerate(sizes, start=1)
    }


def fuzz(name: str, seconds: int, seed: int) -> Finding:
    """Fuzz one target, guided by coverage; what was found on the way is only used meanwhile."""
    if importlib.util.find_spec("atheris") is None:
        return Finding("SKIPPED: atheris has no wheel for this Python; the suite tries its corpus")
    found = Path(tempfile.mkdtemp(prefix=f"{_FOUND}{name}-"))
    command = [sys.executable, "-m", "tests.fuzz.one", name, str(found), str(CORPUS / name)]
    command += [f"-max_total_time={seconds}", f"-seed={seed}", "-max_len=4096", "-timeout=10"]
    command += [f"-artifact_prefix={found}/"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    last = [line for line in run.stderr.splitlines() if line.startswith("Done ")]
    done = last[-1] if last else "stopped early"
    if run.returncode:
        # What was raised is told to the one, where its input was kept to the other.
        return Finding(done, (run.stdout[-2000:] + run.stderr[-500:],))
    shutil.rmtree(found)
    return Finding(done)


def tell(seconds: int, seed: int) -> Finding:
    """Tell a service of its own stories, in which each request follows from an answer."""
    told = Told()
    with tempfile.TemporaryDirectory(prefix=_FOUND) as folder, served(Path(folder)) as service:
        give_up_at = time.monotonic() + seconds
        for each in count(seed):
            if time.monotonic() > give_up_at or told.wrong:
                break
            tell_stories(service.url, service.key, told, seed=each)
    asked = sum(told.answers.values())
    done = f"{told.stories} of {asked} requests, {len(told.done)} operations done"
    return Finding(done, tuple(told.wrong))


def ask_each(seconds: int, seed: int) -> Finding:
    """Ask each operation for what its schema allows, at its edges and beyond them."""
    with tempfile.TemporaryDirectory(prefix=_FOUND) as folder, served(Path(folder)) as service:
        command = [str(Path(sys.executable).with_name("schemathesis")), "run"]
        command += [f"{service.url}/openapi.json", "-H", f"Authorization: Bearer {service.key}"]
        command += ["--exclude-path", ENDLESS, "--exclude-operation-id", UPLOAD]
        command += ["--phases", "examples,coverage,fuzzing", "--max-time", str(seconds)]
        command += ["--seed", str(seed), "--exclude-checks", "positive_data_acceptance"]
        command += ["--no-color", "--warnings", "off", "--generation-database", "none"]
        run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    done = " ".join(run.stdout.split())[-60:]
    return Finding(done, (run.stdout[-6000:],) if run.returncode else ())


def mutate(webhooks: int, seed: int) -> Finding:
    """Mutate so many webhooks, and try a genuine one for each twenty."""
    tally = try_all(webhooks, seed=seed)
    accepted = [f"accepted: {sent}" for sent in tally.accepted]
    wrong = [*tally.genuine_refused, *tally.foreign, *accepted]
    return Finding(str(tally), tuple(wrong[:_SHOWN_MAX]))
