"""What can be wrong with a request before anything of it is looked up.

ServiceError
├── NotJson       the body can't be read
└── BodyTooLarge  the body is over the limit
"""

from service.errors import ServiceError


class NotJson(ServiceError):
    """The body is not one JSON object that every reader reads alike."""


class BodyTooLarge(ServiceError):
    """The body is larger than 256 KiB."""
