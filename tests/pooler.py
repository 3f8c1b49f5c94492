"""A real PgBouncer for tests, in transaction mode, before the tests' PostgreSQL."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import sqlalchemy as sa

from tests.flows.processes import eventually, free_port

# Debian keeps it where only root looks.
BINARY = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
# Fewer than a process opens: a session serves now this transaction, now that.
SESSIONS = 3


@contextmanager
def pooled(url: str) -> Iterator[str]:
    """Run a pooler before the database at `url`; give the URL under which it serves it."""
    direct = sa.make_url(url)
    port, server = free_port(), Path(str(direct.query["host"]))
    # It runs for nobody who is root, and must reach the server's socket.
    owner = (server / ".s.PGSQL.5432").owner()
    with TemporaryDirectory(prefix="pooler-") as folder:
        config = Path(folder) / "pgbouncer.ini"
        config.write_text(
            "[databases]\n"
            f"* = host={server} user={direct.username}\n"
            "[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
            f"auth_type = any\npool_mode = transaction\ndefault_pool_size = {SESSIONS}\n"
        )
        Path(folder).chmod(0o755)
        command = [str(BINARY), "-q", str(config)]
        process = subprocess.Popen([*command, "-u", owner] if os.getuid() == 0 else command)
        served = direct.set(host="127.0.0.1", port=port, query={})
        found = served.render_as_string(hide_password=False)
        try:
            eventually(lambda: _answers(found), what="pgbouncer")
            yield found
        finally:
            process.terminate()
            process.wait(30)


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, prepare_threshold=None).close()
    except psycopg.Error:
        return False
    return True
