"""`python -m service.api.contract FOLDER`: write the reference pages of the docs again."""

import sys
from pathlib import Path

from service.api.contract.reference import pages


def main(folder: Path) -> None:
    """Write every page into a folder."""
    for name, text in pages().items():
        (folder / name).write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
