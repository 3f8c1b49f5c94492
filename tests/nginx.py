"""A real nginx for tests, with docs/packaging/nginx.conf: only its addresses and files are ours."""

import os
import re
import shutil
import ssl
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.certificates import loopback_certificate
from tests.flows.processes import ROOT, Child, clean_environment, eventually, free_port

# Debian keeps it where only root looks.
BINARY = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
SITE = ROOT / "docs" / "packaging" / "nginx.conf"
MISSING = "NOT RUN: nginx is not installed"
# One of them for each processor would be many more than a test needs; a reload replaces them all.
_AROUND = """\
{user}
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log notice;
events {{}}
http {{
    access_log off;
    {temporary}
    include {folder}/site.conf;
}}
"""
_KINDS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@dataclass
class Nginx:
    """One proxy over TLS on the loopback, before `backends`, which are `host:port`."""

    folder: Path
    backends: Sequence[str]
    port: int = field(default_factory=free_port)
    process: Child = field(init=False)
    # Who believes in its certificate, and in no other.
    trust: ssl.SSLContext = field(init=False)
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        """Write what it reads: the site as it stands in docs/, and a certificate."""
        self.folder.mkdir()
        certificate, _ = loopback_certificate(self.folder)
        self.trust = ssl.create_default_context(cafile=str(certificate))
        once = httpx.Limits(max_keepalive_connections=0)
        self.client = httpx.Client(timeout=40, trust_env=False, limits=once, verify=self.trust)
        (self.folder / "site.conf").write_text(self._site())
        (self.folder / "nginx.conf").write_text(
            _AROUND.format(
                folder=self.folder,
                temporary="".join(f"{k}_temp_path {self.folder}/{k};" for k in _KINDS),
                # Started by root, it would work as somebody who may not enter a test's folder.
                user="user root;" if os.getuid() == 0 else "",
            )
        )
        environment = clean_environment()
        self.process = Child("nginx", self.command, environment, self.folder, self.url)

    def _site(self) -> str:
        site = SITE.read_text()
        places = re.findall(r"^ +server (\S+:\d+)", site, re.MULTILINE)
        assert len(places) == len(self.backends)
        for place, backend in zip(places, self.backends, strict=True):
            site = site.replace(f"server {place}", f"server {backend}")
        assert "listen 443 ssl;" in site
        site = site.replace("listen 443 ssl;", f"listen 127.0.0.1:{self.port} ssl;")
        return site.replace("/etc/nginx/tls", str(self.folder))

    @property
    def url(self) -> str:
        """Return its public address."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def command(self) -> list[str]:
        """Return what it is started with; `-t` and `-s` are added to it."""
        log = ["-e", str(self.folder / "error.log")]
        return [str(BINARY), "-p", str(self.folder), "-c", str(self.folder / "nginx.conf"), *log]

    def check(self) -> str:
        """Return what it says to its configuration; empty, if it takes it without a word."""
        ran = subprocess.run([*self.command, "-t", "-q"], capture_output=True, text=True)
        return ran.stderr if ran.returncode == 0 else f"{ran.returncode}: {ran.stderr}"

    def start(self) -> None:
        """Start it; return once it listens."""
        before = self._workers()
        self.process.start()
        eventually(lambda: self._workers() > before, what="nginx started")

    def reload(self) -> None:
        """Have it read its configuration again; return once new workers have begun."""
        before = self._workers()
        subprocess.run([*self.command, "-s", "reload"], check=True, capture_output=True)
        eventually(lambda: self._workers() > before, what="nginx reloaded")

    def _workers(self) -> int:
        """Return how many workers have been started ever."""
        log = self.folder / "error.log"
        return log.read_text().count("start worker process ") if log.exists() else 0
