"""With what a person can prove who they are: the page that asks for a proof offers that and nothing else."""

from dataclasses import dataclass, field

from backend.core import elsewhere
from backend.core.config import Settings
from backend.core.context import Principal
from backend.core.elsewhere import Provider
from backend.database.crud.credentials import CredentialCRUD, Factors
from backend.database.crud.identities import IdentityCRUD
from backend.database.crud.users import UserCRUD
from backend.database.session import Database


@dataclass(frozen=True)
class Ways:
    """`services`: where the person has an account that is linked to this one. Without any way one signs in again."""

    password: bool = False
    factors: Factors = field(default_factory=Factors)
    services: tuple[Provider, ...] = ()


def ways_of(database: Database, settings: Settings, me: Principal) -> Ways:
    """Of a person who is signed in."""
    if me.user_id is None:
        return Ways()
    with database.read() as session:
        password = UserCRUD(session).get_by_id(me.user_id).password_hash is not None
        linked = {identity.provider for identity in IdentityCRUD(session).of_user(me.user_id)}
        services = (one for one in elsewhere.providers(settings).values() if one.key in linked)
        return Ways(password, CredentialCRUD(session).of(me.user_id), tuple(services))
