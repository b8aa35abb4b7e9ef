"""Which of several processes does what exactly one may do."""

from datetime import timedelta

from sqlalchemy import delete, or_, update
from sqlalchemy.dialects import postgresql, sqlite

from backend.core import clock
from backend.database.crud.base import BaseCRUD
from backend.database.models.system import Lease


class LeaseCRUD(BaseCRUD[Lease]):
    model = Lease

    def hold(self, name: str, holder: str, seconds: float) -> bool:
        """Takes or renews the lease for so many seconds; False while another holds it."""
        now = clock.now()
        until = now + timedelta(seconds=seconds)
        taken = self.session.execute(
            update(Lease)
            .where(Lease.name == name, or_(Lease.holder == holder, Lease.until <= now))
            .values(holder=holder, until=until)
            .returning(Lease.name)
            .execution_options(synchronize_session=False)
        ).scalar_one_or_none()
        if taken is not None:
            return True
        is_sqlite = self.session.get_bind().dialect.name == "sqlite"
        made = (sqlite if is_sqlite else postgresql).insert(Lease)
        made = made.values(name=name, holder=holder, until=until).on_conflict_do_nothing()
        return self.session.execute(made.returning(Lease.name)).scalar_one_or_none() is not None

    def release(self, name: str, holder: str) -> None:
        """The next one need not wait for the end of the lease."""
        mine = Lease.name == name, Lease.holder == holder
        self.session.execute(delete(Lease).where(*mine).execution_options(synchronize_session=False))
