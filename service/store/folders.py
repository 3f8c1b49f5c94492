"""Folders: a new name in one is on disk only once the folder is."""

import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Have the names that are in a folder on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
