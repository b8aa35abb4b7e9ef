"""Every table of the product; importing this package registers them all on `Base.metadata`."""

from backend.database.models import (  # noqa: F401 - imported for their tables
    audit,
    auth,
    courses,
    dispatches,
    doors,
    history,
    imports,
    jobs,
    lessons,
    media,
    orders,
    promo_codes,
    purchases,
    system,
    tags,
    tickets,
    users,
    views,
)
