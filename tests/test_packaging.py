"""Dockerfile, compose.yaml and the unit: settings, commands and ports that are really there."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.cli.program import program
from service.settings import Settings
from tests.nginx import BINARY, MISSING, Nginx

ROOT = Path(__file__).parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
PACKAGING = ROOT / "docs" / "packaging"
CADDYFILE = PACKAGING / "Caddyfile"
NGINX = (PACKAGING / "nginx.conf").read_text()
OURS = {name: one for name, one in COMPOSE["services"].items() if "build" in one}


def test_settings_that_are_set_exist() -> None:
    """A variable with a typing error would be ignored in silence."""
    texts = (DOCKERFILE, (ROOT / "compose.yaml").read_text())
    named = {name for text in texts for name in re.findall(r"BETALBAR_([A-Z_]+)", text)}

    assert named <= {name.upper() for name in Settings.model_fields}


def test_commands_that_are_started_exist() -> None:
    """Each container and the unit start what there is, with options that there are."""
    known: Any = program()
    unit = (PACKAGING / "betalbar.service").read_text()
    started = [one["command"] for one in OURS.values()]
    started.append(re.findall(r"^ExecStart=\S+/betalbar (.+)$", unit, re.MULTILINE)[0].split())
    started.append(json.loads(re.findall(r"^CMD (.+)$", DOCKERFILE, re.MULTILINE)[0]))

    for name, *rest in started:
        options = {
            flag for p in known.commands[name].params for flag in (*p.opts, *p.secondary_opts)
        }
        assert {word for word in rest if word.startswith("--")} <= options


def test_ports_of_image_proxy_and_worker_are_the_same() -> None:
    """The proxy finds the replicas, and the healthcheck every one of them."""
    port = re.findall(r"BETALBAR_PORT=(\d+)", DOCKERFILE)[0]

    assert re.findall(r"^EXPOSE (\d+)$", DOCKERFILE, re.MULTILINE) == [port]
    assert f"http://127.0.0.1:{port}/healthz" in DOCKERFILE
    assert re.findall(r"^ +server (\w+):(\d+)", NGINX, re.M) == [("one", port), ("two", port)]
    assert COMPOSE["services"]["worker"]["command"][-1] == port
    listening = re.findall(r"listen (\d+) ssl;", NGINX)
    assert COMPOSE["services"]["proxy"]["ports"] == [f"{listening[0]}:{listening[0]}"]


def test_proxy_is_trusted_and_says_who_calls() -> None:
    """Limits are for each caller's address, not for the proxy's; nobody names another's."""
    (inside,) = COMPOSE["networks"]["default"]["ipam"]["config"]

    assert {one["environment"]["BETALBAR_TRUSTED_PROXIES"] for one in OURS.values()} == {
        inside["subnet"]
    }
    assert "proxy_set_header X-Forwarded-For $remote_addr;" in NGINX
    assert "non_idempotent" not in NGINX


def test_proxy_finds_its_files() -> None:
    """Compose hands in what nginx.conf reads, and nothing is served without TLS."""
    mounted = dict(one.split(":/", 1) for one in COMPOSE["services"]["proxy"]["volumes"])
    read = re.findall(r"ssl_certificate\w* +/(\S+)/\w+\.pem;", NGINX)

    assert mounted["./docs/packaging/nginx.conf"] == "etc/nginx/conf.d/default.conf:ro"
    assert {f"{folder}:ro" for folder in read} == {mounted["${TLS_FOLDER:?}"]}
    assert len(re.findall("listen", NGINX)) == 1
    assert "add_header Strict-Transport-Security" in NGINX


def test_page_about_nginx_shows_the_file_that_is_tested() -> None:
    """There is one configuration: what is read, what compose runs, what is killed and reloaded."""
    page = (ROOT / "docs" / "how-to" / "nginx.md").read_text()

    assert re.findall(r"^```nginx\n(.*?)^```$", page, re.M | re.S) == [NGINX]
    shown = re.findall(r"^```caddyfile\n(.*?)^```$", page, re.M | re.S)
    assert shown == [CADDYFILE.read_text()]


@pytest.mark.skipif(BINARY is None, reason=MISSING)
def test_nginx_takes_the_configuration(tmp_path: Path) -> None:
    """It starts with it, and has nothing to say."""
    proxy = Nginx(tmp_path / "nginx", ["127.0.0.1:1", "127.0.0.1:2"])

    assert proxy.check() == ""


@pytest.mark.skipif(shutil.which("caddy") is None, reason="NOT RUN: caddy is not installed")
def test_caddy_takes_the_configuration() -> None:
    """It would start with it."""
    command = ["caddy", "validate", "--adapter", "caddyfile", "--config", str(CADDYFILE)]
    ran = subprocess.run(command, capture_output=True, text=True)

    assert ran.returncode == 0, ran.stderr


def test_image_runs_as_nobody_in_particular_and_writes_nothing() -> None:
    """Who breaks in finds no root and nothing to change."""
    assert re.findall(r"^USER (\d+)$", DOCKERFILE, re.MULTILINE) == ["10001"]
    assert "--require-hashes" in DOCKERFILE
    assert all(one["read_only"] and one["cap_drop"] == ["ALL"] for one in OURS.values())
