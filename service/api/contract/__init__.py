"""What the API promises, as `/openapi.json` and the reference in the docs show it."""
