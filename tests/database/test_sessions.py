"""Sessions and tokens in the database: what lives, for how long, and what ends with what."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from backend.core import clock, security
from backend.core.errors import NotFoundError
from backend.database.crud.auth import (
    ABSOLUTE,
    API_ABSOLUTE,
    IDLE,
    ApiTokenCRUD,
    OneTimeTokenCRUD,
    SessionCRUD,
)
from backend.database.crud.places import PlaceCRUD
from backend.database.crud.settings import SettingCRUD
from backend.database.models.audit import SecurityEvent
from backend.database.models.auth import AuthSession, Credential, OneTimeToken, RefreshToken, SignInPlace
from backend.database.models.users import User
from backend.database.session import Database
from backend.jobs.periodic import CHORES
from tests.factories import make_user, make_view, save
from tests.money.conftest import Later, later

REMEMBERED = timedelta(days=30)
PURGE = next(chore for chore in CHORES if chore.name == "purge")
__all__ = ["later"]


def opened(db: Session, user: User, kind: str = "cookie", **how: object) -> tuple[AuthSession, str]:
    values = {"user_agent": "Firefox", "ip": "127.0.0.1", "lifetime": ABSOLUTE} | how
    made = SessionCRUD(db).open(user, kind=kind, **values)  # type: ignore[arg-type] # what a test wants different
    db.commit()
    return made


@pytest.fixture
def boris(db: Session) -> User:
    return make_user(db, first_name="Boris")


def test_a_session_is_what_it_was_opened_with(db: Session, boris: User) -> None:
    session, secret = opened(db, boris, user_agent="x" * 300, method="link")
    assert (session.user_id, session.kind, session.level, session.method) == (boris.id, "cookie", "full", "link")
    assert (session.token_hash, session.token_version) == (security.digest(secret), boris.token_version)
    assert (session.user_agent, session.ip) == ("x" * 255, "127.0.0.1")
    assert abs(session.expires_at - clock.now() - ABSOLUTE) < timedelta(minutes=1)


def test_each_kind_is_found_by_its_own_door(db: Session, boris: User) -> None:
    sessions = SessionCRUD(db)
    (_cookie, secret), (api, its_secret) = opened(db, boris), opened(db, boris, "api")
    waiting, its_code = opened(db, boris, level="pending")

    found = sessions.find_by_secret(secret)
    assert found is not None
    assert (found.user_id, found.first_name, found.role) == (boris.id, "Boris", "Ученик")
    assert (found.has_views, found.has_factor, found.read_only, found.impersonator_id) == (False, False, False, None)
    assert sessions.find_by_secret(its_secret) is None
    assert sessions.find_by_secret(its_code) is None
    assert sessions.find_pending(secret) is None
    pending = sessions.find_pending(its_code)
    assert (pending is not None and pending.id) == waiting.id
    by_id = [sessions.find_api_session(number) for number in (api.id, _cookie.id, waiting.id)]
    assert [row.id if row else None for row in by_id] == [api.id, None, None]


def test_a_factor_and_a_view_are_of_their_owner(db: Session, boris: User) -> None:
    other = make_user(db)
    _session, secret = opened(db, boris)

    def has() -> tuple[bool, bool]:
        found = SessionCRUD(db).find_by_secret(secret)
        assert found is not None
        return found.has_factor, found.has_views

    save(db, Credential(user_id=other.id, kind="passkey"), Credential(user_id=boris.id, kind="recovery"))
    make_view(db, owner_id=other.id)
    assert has() == (False, False)
    save(db, Credential(user_id=boris.id, kind="passkey"))
    make_view(db, owner_id=boris.id)
    assert has() == (True, True)


@pytest.mark.parametrize(
    ("lifetime", "kind", "rests", "lives"),
    [
        (ABSOLUTE, "cookie", IDLE - timedelta(seconds=5), True),
        (ABSOLUTE, "cookie", IDLE + timedelta(seconds=5), False),
        (REMEMBERED, "cookie", IDLE + timedelta(seconds=5), True),
        (REMEMBERED, "cookie", REMEMBERED + timedelta(seconds=5), False),
        (API_ABSOLUTE, "api", timedelta(days=13), True),
        (API_ABSOLUTE, "api", timedelta(days=15), False),
    ],
)
def test_a_session_ends_at_rest_and_in_the_end(
    db: Session, boris: User, later: Later, lifetime: timedelta, kind: str, rests: timedelta, *, lives: bool
) -> None:
    session, secret = opened(db, boris, kind, lifetime=lifetime)
    later(rests)
    sessions = SessionCRUD(db)
    found = sessions.find_by_secret(secret) if kind == "cookie" else sessions.find_api_session(session.id)
    assert (found is not None) is lives
    assert [one.id for one in sessions.of_user(boris.id)] == ([session.id] if lives else [])


def test_use_puts_off_the_end_at_rest_and_not_the_last_one(db: Session, boris: User, later: Later) -> None:
    session, secret = opened(db, boris)
    sessions, began = SessionCRUD(db), session.last_seen_at
    sessions.touch(session.id)
    db.refresh(session)
    assert session.last_seen_at == began  # it was seen less than a minute ago
    other, _secret = opened(db, boris)
    seen = other.last_seen_at
    for _hour in range(11):
        later(IDLE - timedelta(seconds=5))
        sessions.touch(session.id)
    assert sessions.find_by_secret(secret) is not None
    db.refresh(other)
    assert other.last_seen_at == seen
    later(IDLE)
    sessions.touch(session.id)
    later(timedelta(minutes=1))
    assert sessions.find_by_secret(secret) is None


def ends(db: Session) -> dict[int, datetime | None]:
    return {row.id: row.revoked_at for row in db.execute(select(AuthSession.id, AuthSession.revoked_at))}


def test_what_ended_keeps_the_moment_of_its_end(db: Session, boris: User, later: Later) -> None:
    (first, secret), (second, its_secret), (third, _s) = (opened(db, boris) for _ in range(3))
    stranger, _s = opened(db, make_user(db))
    sessions = SessionCRUD(db)
    assert (sessions.revoke(first.id), sessions.revoke(first.id), sessions.revoke(9_999)) == (True, False, False)
    db.refresh(first)
    ended = first.revoked_at
    assert ended is not None
    later(timedelta(minutes=1))
    sessions.revoke_secret(secret)
    sessions.revoke_secret("")
    sessions.revoke_secret(its_secret)
    sessions.revoke_all(boris.id, but=third.id)
    moments = ends(db)
    assert (moments[first.id], moments[third.id], moments[stranger.id]) == (ended, None, None)
    assert (moments[second.id] or ended) > ended
    later(timedelta(minutes=1))
    sessions.revoke_role(boris.role_id)
    now = ends(db)
    assert (now[first.id], now[second.id]) == (moments[first.id], moments[second.id])
    assert None not in (now[third.id], now[stranger.id])


def test_a_role_with_more_rights_ends_the_sessions_of_its_people_alone(db: Session, boris: User) -> None:
    admin = db.get_one(User, 1)
    _mine, secret = opened(db, admin)
    _his, his_secret = opened(db, boris)
    before = (admin.token_version, boris.token_version)
    SessionCRUD(db).revoke_role(boris.role_id)
    db.refresh(admin)
    db.refresh(boris)
    assert (admin.token_version, boris.token_version) == (before[0], before[1] + 1)
    found = [SessionCRUD(db).find_by_secret(one) is not None for one in (secret, his_secret)]
    assert found == [True, False]


def test_a_session_goes_on_under_a_new_secret(db: Session, boris: User, later: Later) -> None:
    (session, secret), (other, other_secret) = opened(db, boris), opened(db, boris)
    sessions, confirmed = SessionCRUD(db), session.confirmed_at
    second = sessions.renew(session.id, proved=False)
    assert (sessions.find_by_secret(secret), sessions.find_by_secret(second) is not None) == (None, True)
    db.refresh(session)
    assert session.confirmed_at == confirmed
    later(timedelta(minutes=1))
    sessions.renew(session.id, proved=True)
    db.refresh(session)
    assert session.confirmed_at is not None
    assert (confirmed is None or session.confirmed_at > confirmed, sessions.find_by_secret(second)) == (True, None)
    assert sessions.find_by_secret(other_secret) is not None
    sessions.revoke(other.id)
    with pytest.raises(NotFoundError, match=r"^This session has ended already\.$"):
        sessions.renew(other.id, proved=True)


def test_people_end_their_own_sessions_only_and_see_the_latest_first(db: Session, boris: User, later: Later) -> None:
    first, _s = opened(db, boris)
    later(timedelta(minutes=2))
    second, _s = opened(db, boris)
    opened(db, boris, level="pending")
    stranger, _s = opened(db, make_user(db))
    sessions = SessionCRUD(db)
    assert [one.id for one in sessions.of_user(boris.id)] == [second.id, first.id]
    later(timedelta(minutes=2))
    sessions.touch(first.id)
    assert [one.id for one in sessions.of_user(boris.id)] == [first.id, second.id]
    with pytest.raises(NotFoundError, match=r"^This session has ended already\.$"):
        sessions.revoke_own(stranger.id, boris.id)
    sessions.revoke_own(first.id, boris.id)
    assert [one.id for one in sessions.of_user(boris.id)] == [second.id]
    assert len(sessions.of_user(stranger.user_id)) == 1


def places(db: Session, user: User) -> list[tuple[str, str]]:
    mine = select(SignInPlace.user_agent, SignInPlace.network).where(SignInPlace.user_id == user.id)
    return [(agent, network) for agent, network in db.execute(mine.order_by(SignInPlace.id))]


def test_the_places_of_a_person_are_those_of_their_whole_sign_ins(db: Session, boris: User, later: Later) -> None:
    known, stranger = PlaceCRUD(db), make_user(db)
    assert not known.is_new(boris.id, "Safari", "10.0.0.1")  # the first of all
    opened(db, boris, level="pending", user_agent="Safari")
    assert places(db, boris) == []
    opened(db, boris, "api", user_agent="curl", ip="10.0.0.1")
    opened(db, stranger, user_agent="Chrome")
    for end in (1, 2):
        later(timedelta(minutes=1))
        opened(db, boris, user_agent="y" * 300, ip=f"2001:db8::{end}")
    assert places(db, boris) == [("curl", "10.0.0.1"), ("y" * 255, "2001:db8::/64")]
    first, last = db.execute(select(SignInPlace.first_at, SignInPlace.last_at).order_by(SignInPlace.id.desc())).first()  # type: ignore[misc] # there are some
    assert timedelta(minutes=1) <= last - first < timedelta(minutes=2)
    tries = [("curl", "10.0.0.1"), ("y" * 300, "2001:db8::77"), ("curl", "2001:db8::1"), ("Chrome", "127.0.0.1")]
    assert [known.is_new(boris.id, agent, ip) for agent, ip in tries] == [False, False, True, True]


def test_places_outlive_sessions_for_months(db: Session, database: Database, boris: User, later: Later) -> None:
    opened(db, boris, user_agent="old", lifetime=timedelta(days=90))
    later(timedelta(days=1))
    opened(db, boris, user_agent="new")
    db.refresh(boris)
    seen = boris.seen_at
    later(timedelta(days=179, minutes=-1))
    database.run(PURGE.work)
    db.expire_all()
    assert db.scalars(select(AuthSession)).all() == []
    assert [agent for agent, _network in places(db, boris)] == ["old", "new"]
    assert boris.seen_at == seen
    later(timedelta(minutes=2))
    database.run(PURGE.work)
    db.rollback()
    assert [agent for agent, _network in places(db, boris)] == ["new"]


def test_a_person_is_seen_whenever_a_session_of_their_own_is_used(db: Session, boris: User, later: Later) -> None:
    assert boris.seen_at is None
    opened(db, boris, level="pending")
    db.refresh(boris)
    assert boris.seen_at is None
    session, _secret = opened(db, boris)
    db.refresh(boris)
    came, version, updated = boris.seen_at, boris.version, boris.updated_at
    assert came is not None
    sessions = SessionCRUD(db)
    later(timedelta(seconds=50))
    sessions.touch(session.id)
    db.refresh(boris)
    assert boris.seen_at == came  # less than a minute ago
    later(timedelta(seconds=20))
    sessions.touch(session.id)
    db.refresh(boris)
    assert boris.seen_at is not None
    assert boris.seen_at - came >= timedelta(seconds=70)
    assert (boris.version, boris.updated_at) == (version, updated)  # no edit: an open form still fits
    came = boris.seen_at
    session.impersonator_id = 1
    db.commit()
    later(timedelta(hours=1))
    sessions.touch(session.id)
    db.refresh(boris)
    db.refresh(session)
    assert (boris.seen_at, session.last_seen_at > came) == (came, True)


def test_refresh_tokens_follow_each_other(db: Session, boris: User, later: Later) -> None:
    session, _secret = opened(db, boris, "api", lifetime=API_ABSOLUTE)
    sessions = SessionCRUD(db)
    first = sessions.issue_refresh(session)
    turned = sessions.rotate(first)
    assert (turned.session and turned.session.id) == session.id
    rows = db.execute(
        select(
            RefreshToken.token_hash, RefreshToken.parent_id, RefreshToken.session_id, RefreshToken.expires_at
        ).order_by(RefreshToken.id)
    ).all()
    assert rows == [
        (security.digest(first), None, session.id, session.expires_at),
        (security.digest(turned.secret), 1, session.id, session.expires_at),
    ]
    assert [sessions.rotate("unknown").session, sessions.rotate("unknown").secret] == [None, ""]

    later(timedelta(seconds=9))
    early = sessions.rotate(first)
    assert (early.session, early.secret, sessions.find_api_session(session.id) is not None) == (None, "", True)
    later(timedelta(seconds=2))
    late = sessions.rotate(first)
    assert (late.session and late.session.id, late.secret) == (session.id, "")
    assert sessions.find_api_session(session.id) is None
    assert sessions.rotate(turned.secret).session is None
    event = db.scalars(select(SecurityEvent)).one()
    assert (event.kind, event.user_id, event.data) == ("authn_token_reuse", boris.id, {"session_id": session.id})


def test_a_refresh_token_of_two_steps_ago_ends_the_chain_at_once(db: Session, boris: User) -> None:
    session, _secret = opened(db, boris, "api", lifetime=API_ABSOLUTE)
    sessions = SessionCRUD(db)
    first = sessions.issue_refresh(session)
    second = sessions.rotate(first).secret
    assert sessions.rotate(second).secret
    assert sessions.rotate(first).secret == ""
    assert sessions.find_api_session(session.id) is None


def test_old_sessions_and_links_are_swept_out(db: Session, boris: User) -> None:
    moment = clock.now() + ABSOLUTE
    old, _s = opened(db, boris, lifetime=ABSOLUTE - timedelta(minutes=1))
    young, _s = opened(db, boris, lifetime=ABSOLUTE + timedelta(minutes=1))
    SessionCRUD(db).purge(moment)
    assert db.scalars(select(AuthSession.id)).all() == [young.id]
    assert old.id != young.id
    links = OneTimeTokenCRUD(db)
    links.issue(boris.id, "reset", ABSOLUTE - timedelta(minutes=1))
    links.issue(boris.id, "reset", ABSOLUTE + timedelta(minutes=1))
    links.purge(moment)
    assert len(db.scalars(select(OneTimeToken.id)).all()) == 1


def test_a_link_works_once_for_its_purpose_and_in_its_time(db: Session, boris: User, later: Later) -> None:
    links = OneTimeTokenCRUD(db)
    secret, late = (links.issue(boris.id, "reset", timedelta(minutes=15)) for _ in range(2))
    assert links.find_live(secret, "sign_in") is None
    assert links.find_live("other", "reset") is None
    found = links.find_live(secret, "reset")
    assert (found and found.user.first_name) == "Boris"
    with pytest.raises(NotFoundError):
        links.redeem(secret, "sign_in")
    assert links.redeem(secret, "reset") == boris.id
    assert links.find_live(secret, "reset") is None
    with pytest.raises(NotFoundError):
        links.redeem(secret, "reset")
    later(timedelta(minutes=15, seconds=1))
    assert links.find_live(late, "reset") is None
    with pytest.raises(NotFoundError):
        links.redeem(late, "reset")


def test_the_bots_own_token_replaces_the_schools_older_one_of_its_name(db: Session, boris: User, later: Later) -> None:
    tokens = ApiTokenCRUD(db)
    old, _text = tokens.issue("bot", frozenset({"users:read"}))
    theirs, _text = tokens.issue("bot", frozenset({"users:read"}), user_id=boris.id)
    other, _text = tokens.issue("till", frozenset({"users:read"}))
    made = tokens.keep("bot", "lyc_secret-1234", frozenset({"users:write", "bot"}))
    assert (made.name, made.hint, made.scopes, made.user_id) == ("bot", "1234", ["bot", "users:write"], None)
    assert [token.id for token in tokens.live()] == [made.id, other.id, theirs.id]

    tokens.revoke(made.id)
    assert tokens.find_by_text("lyc_secret-1234") is None
    again = tokens.keep("bot", "lyc_secret-1234", frozenset({"bot"}))
    assert (again.id, again.scopes, again.revoked_at) == (made.id, ["bot"], None)
    assert tokens.find_by_text("lyc_secret-1234") is not None
    db.refresh(old)
    ended = old.revoked_at
    later(timedelta(minutes=1))
    tokens.keep("bot", "lyc_secret-1234", frozenset({"bot"}))
    assert (tokens.revoke(old.id).revoked_at, ended is not None) == (ended, True)


def test_a_token_dies_with_the_account_of_its_owner(db: Session, boris: User) -> None:
    tokens = ApiTokenCRUD(db)
    made, text = tokens.issue("mine", frozenset({"users:read", "bot"}), user_id=boris.id)
    assert (made.hint, made.scopes, made.last_used_at) == (text[-4:], ["bot", "users:read"], None)
    found = tokens.find_by_text(text)
    assert found is not None
    assert (found.name, found.user_id, found.owner_permissions) == ("mine", boris.id, [])
    tokens.touch(made.id)
    db.refresh(made)
    assert made.last_used_at is not None
    other, _text = tokens.issue("other", frozenset())
    assert other.last_used_at is None
    db.execute(update(User).where(User.id == boris.id).values(is_active=False))
    assert tokens.find_by_text(text) is None
    with pytest.raises(NotFoundError, match=r"^There is no token with number 77\.$"):
        tokens.revoke(77)


def test_the_first_sign_in_is_noted_once(db: Session, later: Later) -> None:
    sessions = SessionCRUD(db)
    assert sessions.someone_signed_in() is False
    sessions.note_sign_in()
    first = SettingCRUD(db).find("first_sign_in")
    assert (first is not None, sessions.someone_signed_in()) == (True, True)
    later(timedelta(minutes=1))
    sessions.note_sign_in()
    assert SettingCRUD(db).find("first_sign_in") == first
