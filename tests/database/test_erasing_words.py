"""What others wrote of an erased person: which words of it go, and when, if it is still on its way."""

import json
from typing import Any
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from backend.core import clock
from backend.core.context import Actor, Door
from backend.core.errors import ConflictError
from backend.database import personal
from backend.database.crud.dispatches import DONE_WITH, DispatchCRUD
from backend.database.crud.tickets import TicketCRUD
from backend.database.models.auth import ApiToken, AuthSession, IdempotencyKey
from backend.database.models.dispatches import Dispatch
from backend.database.models.doors import Registration
from backend.database.models.history import Change
from backend.database.models.media import Media
from backend.database.models.tags import Tag
from backend.database.models.tickets import Message, SupportTicket
from backend.database.models.users import User
from backend.database.models.views import SavedView
from backend.database.personal.places import Whose
from backend.database.session import Database
from backend.jobs.outbox import record
from backend.jobs.sending import Again, Call, Refused, Sent
from tests.database.test_personal import holding
from tests.factories import make_ticket, make_user, make_view, save

TEXT = "Ask @zuzanna_qwerty\nor zuzanna.q@pupils.example"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("@zuzanna_qwerty, zuzanna.q@pupils.example", "@[…], […]"),
        ("t.me/ZUZANNA_qwerty?x=1 <Zuzanna.Q@Pupils.example>", "t.me/[…]?x=1 <[…]>"),
        ("zuzanna_qwerty.csv; зzuzanna_qwerty; zuzanna_qwerty-", "[…].csv; зzuzanna_qwerty; […]-"),
        ("zuzanna_qwerty.Thanks! 987654321012's", "[…].Thanks! […]'s"),
        ("q=%40zuzanna_qwerty", "[…]"),  # glued by an address
        # Somebody else's.
        ("zuzanna_qwerty2 xzuzanna.q@pupils.example a.zuzanna.q@pupils.example", None),
        ("anna@school.example an-anna@x.example anna.k@x.example x@anna.example Zuzanna", None),
        ("1987654321012 and 98765432101", None),
        ("Anna, @anna", "[…], @[…]"),
        ("", None),
    ],
)
def test_the_words_that_name_one_person_alone_go(text: str, left: str | None) -> None:
    who = Whose(1, (987654321012,), ("zuzanna_qwerty", "Zuzanna.Q@pupils.example", "anna", "ab"))
    assert who.masked(text) == (text if left is None else left)
    assert who.named_in({"x": [text]}) == (left is not None)
    assert who.masked([text, None]) == [text if left is None else left, None]
    assert Whose(1).masked(text) == text


@pytest.fixture
def zuzanna(db: Session) -> User:
    return make_user(db, username="zuzanna_qwerty", email="zuzanna.q@pupils.example")


def test_what_a_column_is_asked_for_is_in_it_however_it_is_written() -> None:
    who = Whose(1, (987654321012,), ("Zuzanna+q@pupils.example", "маша@school.example", "Маша@Пример.рф"))
    assert who.needles == {""}  # of a name without ASCII no database knows the other case
    two = Whose(1, (987654321012,), ("Zuzanna+q@pupils.example", "Маша@school.example", "маша2026"))
    mail = "zuzanna+q@pupils.example", "zuzanna%2Bq%40pupils.example"
    assert two.needles == {"987654321012", *mail, "school.example", "2026"}
    assert Whose(1, (), ("Straße@x.de",)).named_in("straße@X.de, STRASSE@x.de")
    assert Whose(1).needles == set()


def erase(database: Database, who: User) -> None:
    database.run(lambda session: personal.Eraser(session).erase(who.id), Actor(Door.CLI))


def params(db: Session) -> list[Any]:
    return list(db.scalars(select(Dispatch.params).order_by(Dispatch.id)))


@pytest.mark.parametrize("outcome", [Sent(5), Refused("refused: x"), Again("unreachable"), "cancel", "withdraw"])
def test_an_answer_on_its_way_to_another_arrives_whole_and_is_forgotten_then(
    database: Database, db: Session, zuzanna: User, outcome: Any
) -> None:
    other = make_user(db, telegram_id=55)
    ticket = make_ticket(db, other)
    message = TicketCRUD(db).reply(ticket.id, TEXT, 1)
    db.commit()
    before = params(db)[0]

    erase(database, zuzanna)

    db.expire_all()
    assert db.get_one(Message, message.id).body == "Ask @[…]\nor […]"
    db.execute(update(Dispatch).values(attempts=4))  # the fifth try is the last
    db.commit()
    if outcome == "cancel":
        database.run(lambda session: DispatchCRUD(session).cancel(1))
    elif outcome == "withdraw":
        database.run(lambda session: DispatchCRUD(session).let_go([message.id], ("support_tickets", ticket.id)))
    else:
        call = database.run(lambda session: [Call.of(row) for row in DispatchCRUD(session).claim()])[0]
        assert (call.params, "zuzanna_qwerty" in str(call.params)) == (before, True)
        database.run(lambda session: record(session, call, outcome))
    db.expire_all()
    assert params(db) == [DONE_WITH]
    # Nobody sends again what is left of it, nor does it leave by itself once its reader is back.
    db.execute(update(Dispatch).values(state="failed", error="blocked: x", user_id=other.id))
    db.commit()
    assert database.run(lambda session: DispatchCRUD(session).resend_owed(other.id)) == 0
    with pytest.raises(ConflictError):
        database.run(lambda session: DispatchCRUD(session).resend(1))


def test_what_leaves_in_the_moment_of_the_erasure_is_forgotten_as_well(
    database: Database, db: Session, zuzanna: User
) -> None:
    row = {"chat_id": 55, "method": "sendMessage", "params": {"text": TEXT, "parse_mode": "HTML"}}
    save(db, Dispatch(dedupe_key="a", **row), Dispatch(dedupe_key="b", state="sent", **row))
    call = database.run(lambda session: [Call.of(row) for row in DispatchCRUD(session).claim()])[0]
    erase(database, zuzanna)
    database.run(lambda session: record(session, call, None))
    assert (
        database.run(lambda session: [Call.of(row) for row in DispatchCRUD(session).claim()])[0].params == row["params"]
    )
    database.run(lambda session: DispatchCRUD(session).finish(call.id, call.attempt))
    assert params(db) == [DONE_WITH, {"text": "[…]", "parse_mode": "HTML"}]


def test_an_answer_kept_for_a_repeated_request_goes_if_it_names_the_person(
    database: Database, db: Session, zuzanna: User, bot: TestClient
) -> None:
    other = make_user(db, telegram_id=55)
    for key, words in (("named", TEXT), ("another", "Ask @zuzanna_qwerty2")):
        body = {"user_id": other.id, "subject": "s", "message": words}
        assert bot.post("/api/tickets/", json=body, headers={"Idempotency-Key": key}).status_code == 201
    erase(database, zuzanna)
    assert db.scalars(select(IdempotencyKey.key)).all() == ["another"]


def test_the_name_of_a_stored_file_loses_the_words(database: Database, db: Session, zuzanna: User) -> None:
    about = {"mime": "application/pdf", "size": 1, "sha256": "0" * 64}
    names = "work of Zuzanna.Q@pupils.example.pdf", "Zuzanna.pdf"
    save(db, *(Media(path=str(at), filename=name, **about) for at, name in enumerate(names)))
    erase(database, zuzanna)
    assert db.scalars(select(Media.filename).order_by(Media.id)).all() == ["work of […].pdf", "Zuzanna.pdf"]
    assert "pupils" not in str(db.execute(select(Change.before, Change.after)).all())


def test_a_saved_search_for_their_address_goes(admin: TestClient, database: Database, db: Session) -> None:
    user = make_user(db, email="zuzanna@school.example")
    form = {"list_name": "users", "name": "One", "query": "q=zuzanna@school.example"}
    assert admin.post("/dashboard/views/", data=form).status_code == 303
    assert db.scalars(select(SavedView.query)).all() == ["q=zuzanna%40school.example"]
    erase(database, user)
    assert db.scalars(select(SavedView.query)).all() == [""]
    told = select(Change.before, Change.after).where(Change.entity == "saved_views")
    assert [row.after["query"] for row in db.execute(told)] == ["[…]"]
    assert "zuzanna" not in str(db.execute(select(Change.before, Change.after)).all())


@pytest.mark.parametrize("mail", ["маша@пример.рф", "маша@pupils.example"])
def test_a_word_that_is_not_ascii_goes_in_any_case(database: Database, db: Session, mail: str) -> None:
    maria, other = make_user(db, email=mail), make_user(db, email="саша@пример.рф")
    shown = mail.title()
    assert shown != mail
    about = {"first_name": "x", "language": "ru", "password_hash": "p", "expires_at": clock.now()}
    letter = {"channel": "email", "method": "register", "params": {}}
    save(
        db,
        Registration(token_hash="a", email=shown, **about),
        Registration(token_hash="b", email="Саша@Пример.рф", **about),
        Dispatch(dedupe_key="hers", address=shown, **letter),
        Dispatch(dedupe_key="his", address="Саша@пример.рф", **letter),
        Dispatch(dedupe_key="named", method="sendMessage", chat_id=5, state="sent", params={"text": f"to {shown}"}),
        Tag(name=shown, name_key=mail),
        make_view(db, query=f"q={quote(shown)}"),
    )
    make_ticket(db, other, subject=f"Write to {shown}", message="Саша@Пример.рф")
    erase(database, maria)
    db.expire_all()
    assert db.scalars(select(Registration.email)).all() == ["Саша@Пример.рф"]
    assert set(db.scalars(select(Dispatch.dedupe_key))) == {"his", "named"}
    assert [row.get("text") for row in params(db)] == [None, "[…]"]
    assert db.scalars(select(SavedView.query)).all() == [""]
    ticket = db.scalars(select(SupportTicket)).one()
    assert (ticket.subject, ticket.message) == ("Write to […]", "Саша@Пример.рф")
    assert holding(db, shown, mail, quote(shown), json.dumps(shown)[1:-1]) == set()


def test_tokens_and_reasons_of_others_lose_the_words(database: Database, db: Session, zuzanna: User) -> None:
    session = {"kind": "cookie", "token_version": 1, "expires_at": clock.now()}
    save(
        db,
        ApiToken(user_id=1, name="bot of @zuzanna_qwerty", token_hash="t", hint="x", scopes=[]),
        ApiToken(user_id=1, name="of @zuzanna_qwerty2", token_hash="u", hint="x", scopes=[]),
        AuthSession(user_id=1, token_hash="s", reason="a call of zuzanna.q@pupils.example", **session),
    )
    erase(database, zuzanna)
    assert db.scalars(select(ApiToken.name).order_by(ApiToken.id)).all() == ["bot of @[…]", "of @zuzanna_qwerty2"]
    assert "a call of […]" in db.scalars(select(AuthSession.reason)).all()
