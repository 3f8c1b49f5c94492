"""Everything a person can open in a browser, put together."""

from starlette.routing import Route

from service.sandbox.controls import Controls
from service.sandbox.phone import Phone
from service.sandbox.phone_book import PhoneBook
from service.sandbox.phone_landing import Landing
from service.sandbox.phone_news import News
from service.sandbox.rendering import Pages
from service.sandbox.world import World


def page_routes(world: World) -> list[Route]:
    """Return the routes of the phone, of the links that lead to it, and of the controls."""
    pages = Pages(world.settings.public_url, kept=world.store.kept)
    book, news = PhoneBook(world), News()
    return [
        *pages.asset_routes(),
        *Landing(world, pages, book=book, news=news).routes(),
        *Phone(world, pages, book=book, news=news).routes(),
        *Controls(world, pages, book).routes(),
    ]
