"""Fuzz every target for a while, ask a service, mutate webhooks: `python -m tests.fuzz`.

As many parts run side by side as there are cores; each says in a line what it did.
"""

import argparse
import os
import sys
import time
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from random import SystemRandom

from tests.fuzz.parts import Finding, parts


def main() -> int:
    """Say what was found; 1 where it is anything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each part")
    parser.add_argument("--webhooks", type=int, default=1_000_000, help="how many mutations")
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(10**6))
    parser.add_argument("--at-once", type=int, default=os.cpu_count() or 1, help="how many parts")
    given = parser.parse_args()
    to_do = parts(seconds=given.seconds, webhooks=given.webhooks, seed=given.seed)
    print(f"seed {given.seed}: {len(to_do)} parts, {given.at_once} at once", flush=True)
    wrong: list[str] = []
    begun = time.monotonic()
    with ProcessPoolExecutor(given.at_once, mp_context=get_context("spawn")) as pool:
        running = {pool.submit(part): name for name, part in to_do.items()}
        for future in as_completed(running):
            name, finding = running[future], finding_of(future)
            after_s = round(time.monotonic() - begun)
            mark = "WRONG" if finding.wrong else "ok"
            print(f"{after_s:4} s  {mark:5}  {name}: {finding.done}", flush=True)
            wrong += [f"{name}: {each}" for each in finding.wrong]
    print(*wrong, f"{len(wrong)} wrong", sep="\n")
    return 1 if wrong else 0


def finding_of(future: Future[Finding]) -> Finding:
    """Return what a part found, also where it could not be done."""
    # A part that could not be done has shown nothing, and the others go on.
    error = future.exception()
    return Finding("not done", (repr(error),)) if error else future.result()


if __name__ == "__main__":
    sys.exit(main())
