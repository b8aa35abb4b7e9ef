"""What the domains do. Whatever is imported of it, what follows from another e-mail comes along."""

from backend.database.crud import mailboxes  # noqa: F401 - follows the history
