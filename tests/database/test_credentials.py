"""Factors, recovery codes and trusted devices: each person's are their own."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core.otp import plain
from backend.database.crud.credentials import CredentialCRUD, TrustedDeviceCRUD
from backend.database.models.auth import OneTimeToken
from tests.factories import make_user


def test_recovery_codes_are_counted_and_used_up_by_person(db: Session) -> None:
    anna, vera, crud = make_user(db), make_user(db), CredentialCRUD(db)
    hers, codes = crud.renew_codes(anna.id), crud.renew_codes(vera.id)
    assert crud.burn_code(vera.id, plain(hers[0])) is False
    assert [crud.burn_code(vera.id, plain(codes[0])) for _ in range(2)] == [True, False]
    assert (crud.of(anna.id).codes_left, crud.of(vera.id).codes_left) == (10, 9)
    crud.renew_codes(vera.id)
    assert (crud.of(anna.id).codes_left, crud.of(vera.id).codes_left) == (10, 10)


def test_a_device_that_is_trusted_again_stands_once_and_leaves_the_others(db: Session) -> None:
    anna, vera, devices = make_user(db), make_user(db), TrustedDeviceCRUD(db)
    for person, device, words in ((anna, "a", "Old"), (anna, "b", "Phone"), (vera, "a", "Hers"), (anna, "a", "New")):
        devices.trust(person.id, device, words)
    found = db.execute(select(OneTimeToken.user_id, OneTimeToken.data)).all()
    told = sorted((user_id, data["words"]) for user_id, data in found)
    assert told == sorted([(anna.id, "Phone"), (anna.id, "New"), (vera.id, "Hers")])


def test_a_factor_that_is_gone_is_told_in_words(db: Session) -> None:
    assert CredentialCRUD(db).missing(7) == "This second factor has already been removed."
