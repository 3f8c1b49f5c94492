"""minimal"""

import argparse, statistics, tempfile, time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from tests.benchmarks.pile import Pile
from tests.benchmarks.load import post_all
from tests.benchmarks.servers import *
from tests.benchmarks.servers import settings_for
from tests.benchmarks.webhooks import write_requests
from tests.flows.own_postgresql import own_postgresql
import sqlalchemy as sa


def count(pile):
    with pile._context.database.snapshot() as s:
        return s.execute(
            sa.text("select count(*) from transition where to_state='authorized'")
        ).scalar_one()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--databases", default="sqlite")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--seconds", type=int, default=4)
    p.add_argument("--guess", type=int, default=3000)
    o = p.parse_args()
    for kind in o.databases.split(","):
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
            if kind == "sqlite":
                url = f"sqlite:///{folder}/ours.db"
                limit_url = f"sqlite:///{folder}/limit.db"
            else:
                url = limit_url = stack.enter_context(own_postgresql()).url
            port, port2 = free_port(), free_port()
            env = settings_for(url, port)
            env2 = settings_for(limit_url, port2)
            env2["BETALBAR_MASTER_KEYS"] = env["BETALBAR_MASTER_KEYS"]
            pile = Pile(env)
            if kind == "sqlite":
                Pile(env2).close()
            ours = stack.enter_context(server("ours", SERVE, env, port=port, folder=folder))
            limit = stack.enter_context(
                server("limit", VERIFY_ONLY, env2, port=port2, folder=folder)
            )
            guess, lguess = o.guess * o.seconds, 20_000 * o.seconds
            had = count(pile)
            rates = {"ours": [], "limit": []}
            for n in range(o.rounds + 1):
                refs = pile.make(int(guess))
                file = folder / "requests"
                size = write_requests(file, refs, address_of(port), at=datetime.now(UTC))
                used = cpu_s(ours)
                a = post_all(file, size, port=port, seconds=o.seconds)
                used = cpu_s(ours) - used
                time.sleep(0.5)
                now = count(pile)
                found = now - had
                had = now
                print(
                    f"{kind} ours {a.per_s:8.0f}/s p50 {a.p50_ms:.1f} p99 {a.p99_ms:.1f} ms, cpu {used / max(1, a.answered) * 1e6:.0f} us, answered {a.answered} refused {a.refused} found {found} short {a.was_too_short}",
                    flush=True,
                )
                if n:
                    rates["ours"].append(a.per_s)
                guess = a.per_s * o.seconds * 1.6 * (2 if a.was_too_short else 1)
                size = write_requests(
                    file,
                    (f"bench-{i:012}" for i in range(lguess)),
                    address_of(port2),
                    at=datetime.now(UTC),
                )
                used = cpu_s(limit)
                a = post_all(file, size, port=port2, seconds=o.seconds)
                used = cpu_s(limit) - used
                print(
                    f"{kind} limit {a.per_s:8.0f}/s p50 {a.p50_ms:.1f} p99 {a.p99_ms:.1f} ms, cpu {used / max(1, a.answered) * 1e6:.0f} us, refused {a.refused} short {a.was_too_short}",
                    flush=True,
                )
                if n:
                    rates["limit"].append(a.per_s)
            m = {k: statistics.median(v) for k, v in rates.items()}
            print(
                f"{kind}: ours {m['ours']:.0f}/s, limit {m['limit']:.0f}/s, ratio {m['ours'] / m['limit']:.2f}"
            )


main()
