"""Where one can go on from what was made: links by the name that the answer gives it.

Source: spec.openapis.org/oas/v3.1.1#link-object
"""

from typing import Any

from service.api.contract.table import OPERATIONS

Json = dict[str, Any]


def links_from(path: str, method: str) -> Json:
    """Return the links that an answer of this operation has: to all that takes what it made."""
    named = _of_what_is_made(path) if method == "POST" else {}
    return {name: {"$ref": f"#/components/links/{name}"} for name in named}


def links() -> Json:
    """Return every link by the name of the operation that it leads to."""
    return {
        name: link
        for path, methods in OPERATIONS.items()
        if "POST" in methods
        for name, link in _of_what_is_made(path).items()
    }


def _of_what_is_made(path: str) -> Json:
    """Return the links from a list's address to those of its items, and to what is under them."""
    found: Json = {}
    for other, methods in OPERATIONS.items():
        if other.startswith(f"{path}/{{"):
            name = other.removeprefix(f"{path}/{{").partition("}")[0]
            parameters = {name: f"$response.body#/{name}"}
            for operation in methods.values():
                found[operation.name] = {"operationId": operation.name, "parameters": parameters}
    return found
