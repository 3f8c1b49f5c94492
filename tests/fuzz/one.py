"""Fuzz one target, guided by coverage: `python -m tests.fuzz.one TARGET CORPUS [libFuzzer's]`."""

import sys

import atheris

# The first word is ours; the rest is libFuzzer's.
_NAME = sys.argv.pop(1)

with atheris.instrument_imports(
    include=["webhooks", "service.api.cursors", "service.api.idempotency"]
):
    from tests.fuzz.targets import TARGETS

atheris.Setup(sys.argv, TARGETS[_NAME])
atheris.Fuzz()
