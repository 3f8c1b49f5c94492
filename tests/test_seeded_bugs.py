"""The bugs that are made on purpose still fit the code; `make seeded-bugs` runs their tests."""

import pytest

from tests.seeded_bugs.bugs import ROOT, Bug, apply, bugs


def test_thirty_bugs_are_seeded() -> None:
    """A suite that catches few of them has been asked too little."""
    assert len(bugs()) >= 30


@pytest.mark.parametrize("bug", bugs(), ids=lambda bug: bug.name)
def test_patch_applies_and_names_tests_that_are_there(bug: Bug) -> None:
    """Code that moved on takes its bug along. Where this fails: make the patch anew."""
    assert apply(bug, ROOT, "--check") == ""
    assert bug.breaks and bug.tests
    for test in bug.tests:
        file, _, name = test.partition("::")
        assert f"def {name}" in (ROOT / file).read_text()
