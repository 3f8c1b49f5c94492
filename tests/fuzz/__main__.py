"""Fuzz every target for a while, ask a service, mutate webhooks: `python -m tests.fuzz`."""

import argparse
import importlib.util
import shutil
import subprocess
import sys
import tempfile
import time
from itertools import count
from pathlib import Path
from random import SystemRandom

from tests.fuzz.mutants import try_all
from tests.fuzz.stories import ENDLESS, UPLOAD, Told, tell_stories
from tests.fuzz.targets import TARGETS
from tests.service.cli.test_serving import Served, served

CORPUS = Path(__file__).parent / "corpus"
# Found inputs and crashes are kept here, outside the repository.
_FOUND = "betalbar-fuzz-"


def main() -> int:
    """Say what was found; 1 where it is anything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each part")
    parser.add_argument("--webhooks", type=int, default=1_000_000, help="how many mutations")
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(10**6))
    given = parser.parse_args()
    wrong = _fuzz(given.seconds, given.seed) if given.seconds else []
    wrong += _ask(given.seconds, given.seed) if given.seconds else []
    tally = try_all(given.webhooks, seed=given.seed, each=_say)
    print(f"seed {given.seed}: {tally}", flush=True)
    wrong += [*tally.genuine_refused, *tally.foreign, *(str(sent) for sent in tally.accepted)]
    print(*wrong, sep="\n")
    return 1 if wrong else 0


def _say(mutated: int) -> None:
    if mutated % 100_000 == 0:
        print(f"webhooks: {mutated} mutated", flush=True)


def _fuzz(seconds: int, seed: int) -> list[str]:
    if importlib.util.find_spec("atheris") is None:
        print("SKIPPED: atheris has no wheel for this Python; targets get their corpus only")
        return []
    folder = Path(tempfile.mkdtemp(prefix=_FOUND))
    wrong = [found for name in TARGETS if (found := _fuzz_one(name, folder, seconds, seed))]
    if not wrong:
        shutil.rmtree(folder)
    return wrong


def _fuzz_one(name: str, folder: Path, seconds: int, seed: int) -> str:
    """Return what is wrong, or nothing; what was found on the way is only used meanwhile."""
    found = folder / name
    found.mkdir()
    command = [sys.executable, "-m", "tests.fuzz.one", name, str(found), str(CORPUS / name)]
    command += [f"-max_total_time={seconds}", f"-seed={seed}", "-max_len=4096", "-timeout=10"]
    command += [f"-artifact_prefix={found}/crash-"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    last = [line for line in run.stderr.splitlines() if line.startswith(("Done", "stat::"))]
    print(f"{name}: {last[-1] if last else run.stderr[-2000:]}", flush=True)
    return "" if run.returncode == 0 else f"{name}: {run.stderr[-2000:]}"


def _ask(seconds: int, seed: int) -> list[str]:
    """Ask a service of its own, along its document and beside it; return what is wrong."""
    with tempfile.TemporaryDirectory(prefix=_FOUND) as folder, served(Path(folder)) as service:
        wrong = _told(service, seconds, seed)
        return wrong + _asked_each(service, seconds, seed, folder=folder)


def _told(service: Served, seconds: int, seed: int) -> list[str]:
    """Tell stories, in which each request follows from an answer."""
    told, give_up_at = Told(), time.monotonic() + seconds
    for each in count(seed):
        if time.monotonic() > give_up_at or told.wrong:
            break
        tell_stories(service.url, service.key, told, seed=each)
    asked = sum(told.answers.values())
    done = f"{len(told.done)} operations done"
    print(f"stories: {told.stories} of {asked} requests, {done}", flush=True)
    return told.wrong


def _asked_each(service: Served, seconds: int, seed: int, *, folder: str) -> list[str]:
    """Ask each operation for what its schema allows, at its edges and beyond them."""
    command = [str(Path(sys.executable).with_name("schemathesis")), "run"]
    command += [f"{service.url}/openapi.json", "-H", f"Authorization: Bearer {service.key}"]
    command += ["--exclude-path", ENDLESS, "--exclude-operation-id", UPLOAD]
    command += ["--phases", "examples,coverage,fuzzing", "--max-time", str(seconds)]
    command += ["--seed", str(seed), "--exclude-checks", "positive_data_acceptance"]
    command += ["--no-color", "--warnings", "off", "--generation-database", "none"]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    print(f"operations: {' '.join(run.stdout.split())[-60:]}", flush=True)
    return [] if run.returncode == 0 else [run.stdout[-6000:]]


if __name__ == "__main__":
    sys.exit(main())
