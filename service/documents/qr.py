"""A link as QR code, for paper and for the phone beside a desktop."""

from io import BytesIO

import segno

# A seventh of the code may be unreadable: enough for a crease, and the modules stay large.
_ERROR_LEVEL = "m"
# The quiet zone that readers need (ISO/IEC 18004, 9.1).
_BORDER = 4
_PIXELS_PER_MODULE = 12


def qr_svg(link: str) -> bytes:
    """Return an SVG that scales to any size, black on white whatever is around it."""
    out = BytesIO()
    _code(link).save(out, kind="svg", border=_BORDER, scale=4, dark="#000", light="#fff")
    return out.getvalue()


def qr_png(link: str) -> bytes:
    """Return a PNG large enough to be printed 4 cm wide at 300 dpi."""
    out = BytesIO()
    _code(link).save(out, kind="png", border=_BORDER, scale=_PIXELS_PER_MODULE)
    return out.getvalue()


def qr_modules(link: str) -> list[list[bool]]:
    """Return the code's rows of modules, True for dark, without a border: for other canvases."""
    return [[bool(module) for module in row] for row in _code(link).matrix]


def _code(link: str) -> segno.QRCode:
    return segno.make_qr(link, error=_ERROR_LEVEL)
