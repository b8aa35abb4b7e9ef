from aiogram import F
from aiogram.filters import Command, StateFilter
from markupsafe import Markup

from backend.bot.http import ApiRefusedError
from backend.bot.keyboards import Go, OpenTicket, Place, Reply, Show, at
from backend.bot.memory import Ask
from backend.bot.routes import TalkRouter
from backend.bot.shelf import turn
from backend.bot.talk import Talk
from backend.bot.texts import menu
from backend.bot.texts import support as texts

NOT_FOUND = 404


async def support(talk: Talk) -> None:
    await talk.show(texts.support())


async def tickets(talk: Talk, callback_data: Go) -> None:
    rows, shown = await turn(lambda cursor: talk.api.tickets(talk.student.id, cursor), callback_data.page)
    await talk.show(texts.tickets(rows, shown))


async def ticket(talk: Talk, callback_data: Show) -> None:
    await _show(talk, callback_data.id, number=callback_data.page)


async def ticket_from_answer(talk: Talk, callback_data: OpenTicket) -> None:
    await _show(talk, callback_data.id)


async def _show(talk: Talk, ticket_id: int, *, number: int = 0, note: Markup | None = None) -> None:
    try:
        found = await talk.api.ticket(talk.student.id, ticket_id)
    except ApiRefusedError as error:
        if error.status != NOT_FOUND:
            raise
        await talk.show(menu.gone(error.told, "ticket"))
        return
    await talk.show(texts.ticket(found, number=number, note=note))


# --- a new question


async def ask_subject(talk: Talk) -> None:
    talk.memory.expect(Ask.subject)
    await talk.show(texts.ask_subject())


async def take_subject(talk: Talk) -> None:
    subject = " ".join(talk.text.split())
    if len(subject) > texts.SUBJECT:
        await talk.show(texts.ask_subject(too_long=True))
        return
    talk.memory.expect(Ask.message, subject=subject)
    await talk.show(texts.ask_message(subject))


async def take_message(talk: Talk) -> None:
    text = talk.text
    subject = talk.memory.about.get("subject") or texts.draft_subject(text)
    await _open(talk, str(subject), text)


async def send_draft(talk: Talk) -> None:
    """What was typed without a button, handed over as it is."""
    text = talk.memory.draft
    if text is None:
        await ask_subject(talk)
        return
    await _open(talk, texts.draft_subject(text), text)


async def _open(talk: Talk, subject: str, text: str) -> None:
    made = await talk.api.open_ticket(talk.student.id, subject, text)
    talk.memory.forget_dialogue()
    talk.memory.draft = None
    await talk.show(texts.ticket(made, note=texts.sent()))


# --- one more message


async def ask_reply(talk: Talk, callback_data: Reply) -> None:
    found = await talk.api.ticket(talk.student.id, callback_data.id)
    talk.memory.expect(Ask.reply, ticket=found.id)
    await talk.show(texts.ask_reply(found))


async def take_reply(talk: Talk) -> None:
    ticket_id = int(talk.memory.about["ticket"])
    await talk.api.write_to_ticket(talk.student.id, ticket_id, talk.text)
    talk.memory.forget_dialogue()
    await _show(talk, ticket_id, note=texts.sent())


async def text_only(talk: Talk) -> None:
    await talk.show(texts.text_only())


def make_router() -> TalkRouter:
    router = TalkRouter(name="support")
    router.said(support, Command("support"))
    router.said(take_subject, Ask.subject, F.text)
    router.said(take_message, Ask.message, F.text)
    router.said(take_reply, Ask.reply, F.text)
    router.said(text_only, StateFilter(Ask))
    router.pressed(support, at(Place.SUPPORT))
    router.pressed(ask_subject, at(Place.NEW_TICKET))
    router.pressed(send_draft, at(Place.DRAFT))
    router.pressed(tickets, at(Place.TICKETS))
    router.pressed(ticket, Show.filter(F.kind == "ticket"))
    router.pressed(ticket_from_answer, OpenTicket.filter())
    router.pressed(ask_reply, Reply.filter())
    return router
