"""The shapes of what the merchant API answers: handlers return them, `/openapi.json` shows them.

As those of events (service/events/shapes.py): a handler that leaves a member out fails the type
check, an answer that has another one fails the tests. Members are only ever added.
"""
