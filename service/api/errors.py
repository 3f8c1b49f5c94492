"""What can be wrong with a request before anything of it is looked up.

ServiceError
├── NotJson           the body can't be read
├── BodyTooLarge      the body is over the limit
├── UnsupportedMedia  the body is of another type
├── TooManyUploads    as many documents come in as memory is kept for
└── UploadTooSlow     the body took longer than a place is kept for it
"""

from service.errors import ServiceError


class NotJson(ServiceError):
    """The body is not one JSON object that every reader reads alike."""


class BodyTooLarge(ServiceError):
    """The body is larger than may be."""

    def __init__(self, bytes_max: int) -> None:
        """Say how much may be sent."""
        super().__init__(f"The body is larger than {bytes_max // 1024} KiB.")


class UnsupportedMedia(ServiceError):
    """Only application/pdf is taken here."""


class TooManyUploads(ServiceError):
    """As many documents as may be are coming in; nothing of this one was kept."""


class UploadTooSlow(ServiceError):
    """The document did not arrive in time; nothing of it was kept."""
