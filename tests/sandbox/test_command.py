"""`betalbar sandbox` as a process of its own."""

import subprocess
import sys

from tests.sandbox import harness
from tests.sandbox.harness import a_payment, free_port, is_up, until
from tests.sandbox.receiver import Receiver


def test_command_with_a_retry_scale_does_not_wait_as_long_as_vipps(receiver: Receiver) -> None:
    """A test of an integration need not sit through the minutes between attempts."""
    answers = iter([500] * 6)
    receiver.answer_with = lambda _: next(answers, 200)
    port = free_port()
    command = [sys.executable, "-m", "service.cli", "sandbox", "--port", str(port)]
    with subprocess.Popen([*command, "--retry-scale", "0.001"], stdout=subprocess.DEVNULL) as run:
        try:
            until(lambda: is_up(port))
            with harness.merchant(f"http://127.0.0.1:{port}") as merchant:
                merchant.register(receiver.url)
                merchant.create(a_payment("invoice-0001"))
                # Vipps's own seven attempts take more than an hour.
                received = receiver.wait_for(7)
        finally:
            run.kill()

    assert [r.name for r in received] == ["CREATED"] * 7


def test_retry_scale_that_is_no_number_is_refused() -> None:
    """Waits that are no numbers would never be over."""
    command = [sys.executable, "-m", "service.cli", "sandbox", "--retry-scale", "nan"]

    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert ended.returncode == 2
    assert "--retry-scale" in ended.stderr
