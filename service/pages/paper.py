"""The invoice as a PDF drawn from its lines: what a customer keeps where there is no other."""

from functools import cache
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any

from reportlab.lib.colors import HexColor
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from service.documents.qr import qr_modules
from service.pages.languages import Language, texts
from service.pages.market import Brand
from service.pages.view import InvoiceOnPage

# DejaVu has every Nordic letter, the Sámi ones included. See fonts/LICENSE.
_FONTS = Path(__file__).parent / "fonts"
_PLAIN, _BOLD = "DejaVuSans", "DejaVuSans-Bold"

_INK, _SOFT, _RULE = HexColor("#1b1b23"), HexColor("#5b5b66"), HexColor("#d9d9e0")
_MARGIN = 20 * mm
_WIDTH = A4[0] - 2 * _MARGIN
_QR_WIDTH = 34 * mm
_AMOUNT_WIDTH = 38 * mm


def invoice_pdf(invoice: InvoiceOnPage, language: Language, brand: Brand, link: str) -> bytes:
    """Return the invoice on A4, in a language; `link` is its page, as QR code."""
    _register_fonts()
    out, say = BytesIO(), texts(language.code).gettext
    document = SimpleDocTemplate(
        out,
        pagesize=A4,
        leftMargin=_MARGIN,
        rightMargin=_MARGIN,
        topMargin=18 * mm,
        bottomMargin=22 * mm,
        title=f"{say('Invoice')} {invoice.reference}",
        author=invoice.merchant,
        creator="Betalbar",
        lang=language.code,
        invariant=1,  # the same invoice is the same bytes
    )

    def foot(canvas: Canvas, _: object) -> None:
        canvas.setFont(_PLAIN, 7.5)
        canvas.setFillColor(_SOFT)
        canvas.drawString(_MARGIN, 12 * mm, invoice.reference)
        canvas.drawRightString(A4[0] - _MARGIN, 12 * mm, str(canvas.getPageNumber()))

    story = [
        _head(invoice, say("Invoice"), _number_label(invoice, language)),
        Spacer(0, 9 * mm),
        _summary(invoice, language, brand, link),
        Spacer(0, 9 * mm),
        *_lines(invoice, language),
    ]
    document.build(story, onFirstPage=foot, onLaterPages=foot)
    return out.getvalue()


@cache
def _register_fonts() -> None:
    for name in (_PLAIN, _BOLD):
        pdfmetrics.registerFont(TTFont(name, _FONTS / f"{name}.ttf"))


def _text(words: str, size: float, **look: Any) -> Paragraph:
    """Return words as they are: what merchants write is no markup."""
    base: dict[str, Any] = {"fontName": _PLAIN, "textColor": _INK, "fontSize": size}
    style = ParagraphStyle("words", **base | {"leading": size * 1.35} | look)
    return Paragraph(escape(words).replace("\N{NO-BREAK SPACE}", "&nbsp;"), style)


def _number_label(invoice: InvoiceOnPage, language: Language) -> str:
    say = texts(language.code).gettext
    return {"NO": say("Org. no."), "DK": "CVR", "FI": say("Business ID")}[invoice.country]


def _head(invoice: InvoiceOnPage, title: str, number_label: str) -> Table:
    seller = [_text(invoice.merchant, 15, fontName=_BOLD)]
    if invoice.organisation_number:
        number = f"{number_label} {invoice.organisation_number}"
        seller.append(_text(number, 8.5, textColor=_SOFT))
    seller.append(_text(invoice.contact_url, 8.5, textColor=_SOFT))
    kind = _text(title, 15, textColor=_SOFT, alignment=TA_RIGHT)
    return _table([[seller, kind]], [_WIDTH - 55 * mm, 55 * mm], ("LINEBELOW", 6 * mm))


def _summary(invoice: InvoiceOnPage, language: Language, brand: Brand, link: str) -> Table:
    say = texts(language.code).gettext
    facts = [
        (say("Due date"), invoice.due)
        if invoice.due
        else (say("Can be paid here until"), invoice.until),
        *([(say("KID"), invoice.kid)] if invoice.kid else []),
        (say("Reference"), invoice.reference),
    ]
    left = [
        _text(invoice.description, 11),
        Spacer(0, 2 * mm),
        _text(invoice.amount, 24, fontName=_BOLD),
        Spacer(0, 4 * mm),
        _table(
            [[_text(n, 9, textColor=_SOFT), _text(v, 9)] for n, v in facts],
            [38 * mm, _WIDTH - 38 * mm - _QR_WIDTH - 10 * mm],
        ),
    ]
    pay = say("Pay with MobilePay" if brand.id == "mobilepay" else "Pay with Vipps")
    right = [_Qr(link, _QR_WIDTH), Spacer(0, 3 * mm), _text(pay, 7.5, textColor=_SOFT, alignment=1)]
    return _table([[left, right]], [_WIDTH - _QR_WIDTH, _QR_WIDTH])


def _lines(invoice: InvoiceOnPage, language: Language) -> list[Flowable]:
    say = texts(language.code).gettext
    lines = [(line.name, line.quantity, line.amount) for line in invoice.lines]
    rows: list[list[Any]] = [
        [_text(name, 9), _text(quantity, 9, textColor=_SOFT, alignment=TA_RIGHT), _sum(amount)]
        for name, quantity, amount in lines or [(invoice.description, "", invoice.amount)]
    ]
    soft: dict[str, Any] = {"textColor": _SOFT}
    head = [_text(say("Item"), 8, **soft), "", _text(say("Amount"), 8, **soft, alignment=TA_RIGHT)]
    if invoice.tax:
        rows.append([_text(say("Of which VAT"), 9, textColor=_SOFT), "", _sum(invoice.tax)])
    rows.append([_text(say("Total"), 10.5, fontName=_BOLD), "", _sum(invoice.amount, _BOLD)])
    table = Table(
        [head, *rows],
        colWidths=[_WIDTH - _AMOUNT_WIDTH - 26 * mm, 26 * mm, _AMOUNT_WIDTH],
        repeatRows=1,
    )
    table.setStyle(
        TableStyle(
            [
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("LEFTPADDING", (0, 0), (0, -1), 0),
                ("RIGHTPADDING", (-1, 0), (-1, -1), 0),
                ("LINEBELOW", (0, 0), (-1, -2), 0.5, _RULE),
                ("LINEABOVE", (0, -1), (-1, -1), 1, _INK),
                ("TOPPADDING", (0, 0), (-1, -1), 5),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 6),
            ]
        )
    )
    return [table]


def _sum(amount: str, font: str = _PLAIN) -> Paragraph:
    return _text(amount, 9 if font == _PLAIN else 10.5, fontName=font, alignment=TA_RIGHT)


def _table(
    cells: list[list[object]], widths: list[float], rule: tuple[str, float] | None = None
) -> Table:
    style: list[Any] = [
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LEFTPADDING", (0, 0), (-1, -1), 0),
        ("RIGHTPADDING", (0, 0), (-1, -1), 0),
        ("TOPPADDING", (0, 0), (-1, -1), 1.5),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 1.5),
    ]
    if rule is not None:
        style += [(rule[0], (0, 0), (-1, -1), 0.5, _RULE)]
        style += [("BOTTOMPADDING", (0, 0), (-1, -1), rule[1])]
    table = Table(cells, colWidths=widths)
    table.setStyle(TableStyle(style))
    return table


class _Qr(Flowable):
    """The link as vectors: sharp at any size."""

    def __init__(self, link: str, width: float) -> None:
        super().__init__()
        self.width = self.height = width
        self._rows = qr_modules(link)

    def draw(self) -> None:
        """Draw each run of dark modules as one rectangle; the page is the quiet zone."""
        module = self.width / len(self._rows)
        self.canv.setFillColor(_INK)
        for number, row in enumerate(self._rows):
            top = self.height - (number + 1) * module
            start = 0
            while start < len(row):
                end = start
                while end < len(row) and row[end]:
                    end += 1
                if end > start:
                    box = (start * module, top, (end - start) * module, module)
                    self.canv.rect(*box, stroke=0, fill=1)
                start = end + 1
