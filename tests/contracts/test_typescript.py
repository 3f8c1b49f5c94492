"""A TypeScript client made of the document compiles, and works."""

import subprocess
from pathlib import Path

import pytest

from tests.npm import install
from tests.service.cli.test_serving import Served

PACKAGES = (
    "openapi-typescript@7.13.0",
    "openapi-fetch@0.17.0",
    "typescript@5.9.3",
    "@types/node@20",
)

CLIENT = """\
import createClient from "openapi-fetch";
import type { components, paths } from "./betalbar.js";

type Invoice = components["schemas"]["InvoiceResource"];
type Event = components["schemas"]["Event"];

const api = createClient<paths>({
  baseUrl: process.env.API!,
  headers: { Authorization: `Bearer ${process.env.KEY}` },
});

function toldOf(event: Event): string {
  // The type of an event says what is in it.
  if (event.type === "invoice.captured") return event.data.invoice.state;
  if (event.type === "customer.withdrawn") return event.data.customer.id;
  return event.type;
}

const made = await api.POST("/v1/invoices", {
  body: { amount: { currency: "NOK", value: 49900 }, flow: "WEB_REDIRECT" },
});
if (made.error) throw new Error(`${made.error.code}: ${made.error.detail}`);
const invoice: Invoice = made.data;
const page = await api.GET("/v1/events", { params: { query: { limit: 1 } } });
const refused = await api.POST("/v1/invoices/{reference}/capture", {
  params: { path: { reference: invoice.reference } },
  body: {},
});
const code: string | undefined = refused.error?.code;
console.log(invoice.state, code, page.data!.items.map(toldOf).join());
"""
WRONG = CLIENT.replace('flow: "WEB_REDIRECT"', 'flow: "BY_POST"')
SETTINGS = (
    '{"compilerOptions": {"strict": true, "target": "es2022", "module": "nodenext",'
    ' "outDir": "out", "skipLibCheck": true, "types": ["node"]}, "files": ["client.ts"]}'
)
TOOLS = "node_modules/.bin"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, service: Served) -> Path:
    """Make the client's types of the document that is served."""
    made = tmp_path_factory.mktemp("typescript")
    install(made, *PACKAGES, for_what="a TypeScript client", tools=("node", "npm"))
    (made / "package.json").write_text('{"private": true, "type": "module"}')
    (made / "tsconfig.json").write_text(SETTINGS)
    _run(made, f"{TOOLS}/openapi-typescript", f"{service.url}/openapi.json", "-o", "betalbar.d.ts")
    return made


def _run(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words,
        cwd=folder,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_client_compiles_and_works(folder: Path, service: Served) -> None:
    """My editor knows every member, and what compiles runs."""
    (folder / "client.ts").write_text(CLIENT)

    compiled = _run(folder, f"{TOOLS}/tsc")
    run = _run(folder, "node", "out/client.js", API=service.url, KEY=service.key)

    assert (compiled.returncode, compiled.stdout) == (0, "")
    assert run.stdout.split() == ["created", "action_refused", "invoice.created"], run.stderr


def test_client_that_sends_what_cannot_be_sent_does_not_compile(folder: Path) -> None:
    """A mistake is found at my desk."""
    (folder / "client.ts").write_text(WRONG)

    compiled = _run(folder, f"{TOOLS}/tsc")

    assert compiled.returncode != 0
    assert "BY_POST" in compiled.stdout
