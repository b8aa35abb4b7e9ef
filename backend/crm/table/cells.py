"""What stands in a cell: plain functions that return escaped HTML, a tenth of the cost of a template for every row."""

from typing import Any

from markupsafe import escape

from backend.core import text
from backend.core.atoms import badge, icon, person
from backend.core.i18n import _
from backend.core.permissions import Permission
from backend.crm.table.declare import Cell
from backend.database.models.users import full_name


def plain(name: str) -> Cell:
    def cell(row: Any, _screen: Any) -> str:
        value = getattr(row, name)
        return "" if value is None else escape(value)

    return cell


def number(name: str) -> Cell:
    return lambda row, _screen: text.number(getattr(row, name))


def money(name: str) -> Cell:
    """Stars."""
    return lambda row, _screen: text.money(getattr(row, name))


def code(name: str) -> Cell:
    return lambda row, _screen: f'<code class="ly-cut">{escape(getattr(row, name))}</code>'


def ago(name: str) -> Cell:
    return lambda row, _screen: text.ago(getattr(row, name))


def moment(name: str, absent: str) -> Cell:
    """A date and time; `absent` stands for none."""

    def cell(row: Any, _screen: Any) -> str:
        value = getattr(row, name)
        return text.datetime_(value) if value else escape(_(absent))

    return cell


def name_of(row: Any) -> str:
    """The name of the person whose columns a row has."""
    return full_name(row.first_name or "", row.last_name)


def buyer(user_id: int | None, name: str, screen: Any, note: object) -> str:
    """A person of another list: a link for those who may open it."""
    url = f"/dashboard/users/{user_id}" if user_id and screen.me.may(Permission.USERS_READ) else ""
    return person(user_id or 0, name, url, note)


def student(row: Any, screen: Any) -> str:
    """The person of a row that names them, with their username."""
    return buyer(row.user_id, name_of(row), screen, f"@{row.username}" if row.username else "")


def headed(url: str, title: str, row: Any, state: str) -> str:
    """A link to what a student asks for or orders; on a phone the student and how it stands are below."""
    name = f'<span class="ly-quiet ly-sm">{escape(name_of(row))}</span>'
    return f'<a class="ly-strong text-reset ly-cut" href="{url}">{escape(title)}</a>{small(f"{name} {state}")}'


def titled(url: str, title: str, note: str) -> str:
    """A link with a quiet line below; `note` is HTML."""
    return (
        f'<span class="d-grid"><a class="ly-strong text-reset ly-cut" href="{url}">{escape(title)}</a> '
        f'<small class="ly-quiet ly-xs ly-cut">{note}</small></span>'
    )


def small(html: str) -> str:
    """What another column shows on a wide screen."""
    return f'<span class="ly-only-sm">{html}</span>'


def on_sale(row: Any) -> str:
    return badge("good", "eye", _("On sale")) if row.is_active else badge("", "eye-off", _("Hidden"))


def pencil(name: str, label: str) -> str:
    sign = icon("pencil", "icon-sm")
    return f'<button type="button" class="ly-pencil" data-edit="{name}" aria-label="{label}">{sign}</button>'
