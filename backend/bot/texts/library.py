"""What the student owns, and a lesson's content."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from backend.bot import markup
from backend.bot.client import Item
from backend.bot.keyboards import LABEL, Go, Place, Show, back, button, go, keyboard, menu_row, pages_row, via_list
from backend.bot.markup import clip
from backend.bot.screen import Screen, fill, page
from backend.bot.texts.catalogue import Shown
from backend.core.i18n import _
from backend.database.schemas.lessons import LessonContent


@dataclass(frozen=True)
class Owned:
    item: Item
    title: str


def _card(item: Item, page: int) -> Show:
    way = via_list(Place.LIBRARY, page)
    return Show.model_validate({"kind": item.kind, "id": item.id, "via": way})


def library(rows: Sequence[Owned], shown: Shown) -> Screen:
    if not rows:
        return Screen(
            page(
                fill(_("<b>My lessons</b>")),
                fill(_("Nothing here yet. Everything you buy or get for free appears here.")),
            ),
            keyboard([go(_("Lessons"), Place.LESSONS), *menu_row()]),
        )
    buttons = [
        [
            button(
                f"{'📚' if row.item.kind == 'course' else '▶'} {clip(row.title, LABEL)}",
                _card(row.item, shown.number),
            )
        ]
        for row in rows
    ]
    return Screen(
        page(fill(_("<b>My lessons</b>")), fill(_("📚 is a course, ▶ a single lesson."))),
        keyboard(*buttons, pages_row(Go(place=Place.LIBRARY, page=shown.number), shown.pages), menu_row()),
    )


def content(lesson: LessonContent) -> list[Markup]:
    """The lesson's text as messages; the title stands above it unless a video carries it."""
    runs = markup.from_markdown(lesson.text_content or "")
    if runs and lesson.media is None:
        runs = [markup.Run(lesson.title, ("<b>",)), markup.Run("\n\n"), *runs]
    return markup.split(runs)


def caption(lesson: LessonContent) -> Markup:
    return fill("<b>%(title)s</b>", title=lesson.title)


def link(lesson: LessonContent) -> Markup | None:
    """A video that lies elsewhere is given as its address."""
    address = lesson.video_path or ""
    if lesson.media is not None or not address.startswith(("https://", "http://")):
        return None
    return fill(
        '<b>%(title)s</b>\n\n<a href="%(url)s">%(words)s</a>',
        title=lesson.title,
        url=address,
        words=_("Watch the video"),
    )


def after_content(lesson: LessonContent, *, empty: bool = False, without_video: bool = False, via: str = "") -> Screen:
    """The living message under a lesson. `empty`: there was nothing to send; `via`: where its card was opened."""
    if empty:
        words = fill(
            _("You have access to “%(title)s”, but the school has not added anything to it yet."),
            title=lesson.title,
        )
    else:
        words = fill(
            _("The lesson “%(title)s” is above. If something is unclear, ask: a person answers."),
            title=lesson.title,
        )
    sorry = (
        fill(_("The video could not be sent just now. Open the lesson again in a minute.")) if without_video else None
    )
    return Screen(
        page(words, sorry),
        keyboard(
            [back(via, Place.LESSONS)] if via.startswith("c") else [],
            [go(_("Ask a question"), Place.NEW_TICKET)],
            [go(_("My lessons"), Place.LIBRARY), *menu_row()],
        ),
    )
