"""The package as others import it."""

from pathlib import Path

import statemachine


def test_package_is_ours_and_not_the_one_on_pypi() -> None:
    """python-statemachine installs a package of the same name; ours must win."""
    ours = Path(__file__).parents[2] / "statemachine" / "__init__.py"

    assert statemachine.__file__ is not None
    assert Path(statemachine.__file__).samefile(ours)


def test_package_exports_what_it_names() -> None:
    """Every public name exists and says what it does."""
    for name in statemachine.__all__:
        assert getattr(statemachine, name) is not None

    assert sorted(statemachine.__all__, key=str.lower) == sorted(
        {name for name in statemachine.__all__}, key=str.lower
    )


def test_only_machine_knows_transitions() -> None:
    """The library can be replaced in one file."""
    folder = Path(__file__).parents[2] / "statemachine"

    knowing = {
        path.name
        for path in folder.glob("*.py")
        if "import transitions" in path.read_text() or "from transitions" in path.read_text()
    }

    assert knowing == {"machine.py"}
