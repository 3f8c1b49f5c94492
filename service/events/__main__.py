"""`python -m service.events FILE`: write the schemas; refuse to take a promise back."""

import sys
from pathlib import Path

import orjson

from service.events.schemas import all_schemas, broken_promises


def main(path: Path) -> int:
    """Write the schemas to a file, unless that would break what the file has promised."""
    made = all_schemas()
    broken = broken_promises(orjson.loads(path.read_bytes()), made) if path.exists() else []
    if broken:
        sys.stderr.write("".join(f"{one} would be gone or different\n" for one in broken))
        return 1
    path.write_bytes(orjson.dumps(made, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
