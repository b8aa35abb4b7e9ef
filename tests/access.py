"""Who may do what, in one table that people read: every route, every role, every right of a token.

Roles: A admin, M manager, W author (writer), S support, L student (learner), - no role, * everyone, signed in or not.
Behind them, ! asks a person for a proof of the last 15 minutes of who they are, ? does so for some of what it can do;
!! and ?? ask those who have a second factor for that: a password alone is not enough.
The last column of an API route is the right that a token needs (`a|b` is either). A collection answers without its last
slash as well.
"""

import re
from dataclasses import dataclass, field

from backend.core.permissions import ADMIN, AUTHOR, MANAGER, STUDENT, SUPPORT
from tests.everything import everything

__all__ = ["API", "PAGES", "PRIVATE", "ROLES", "Rule", "everything"]

ROLES = {"A": ADMIN, "M": MANAGER, "W": AUTHOR, "S": SUPPORT, "L": STUDENT}

API_TABLE = """
POST   /auth/login                                          *
POST   /auth/refresh                                        *
POST   /auth/logout                                         AMWSL signed-in
POST   /api/auth/login                                      *
POST   /api/auth/refresh                                    *
POST   /api/auth/logout                                     AMWSL signed-in
POST   /api/auth/forgot-password                            *
POST   /api/auth/register                                   *
GET    /api/auth/me                                         AMWSL signed-in
GET    /api/users/                                          AMS   users:read
POST   /api/users/                                          AM    users:write
GET    /api/users/{user_id}                                 AMS   users:read
PUT    /api/users/{user_id}                                 AM    users:write
GET    /api/lessons/                                        AMWS  lessons:read
POST   /api/lessons/                                        AW    lessons:write
GET    /api/lessons/{lesson_id}                             AMWS  lessons:read
PUT    /api/lessons/{lesson_id}                             AW    lessons:write
DELETE /api/lessons/{lesson_id}                             AW    lessons:write
GET    /api/users/{user_id}/lessons/{lesson_id}/content     -     bot
GET    /api/courses/                                        AMWS  courses:read
POST   /api/courses/                                        AW    courses:write
GET    /api/courses/{course_id}                             AMWS  courses:read
PUT    /api/courses/{course_id}                             AW    courses:write
DELETE /api/courses/{course_id}                             AW    courses:write
GET    /api/media/{media_id}                                -     bot
PUT    /api/media/{media_id}/telegram-file                  -     bot
GET    /api/promo-codes/                                    AM    promo_codes:read
POST   /api/promo-codes/                                    AM    promo_codes:write
POST   /api/promo-codes/check                               -     bot
GET    /api/promo-codes/{promo_id}                          AM    promo_codes:read
PUT    /api/promo-codes/{promo_id}                          AM    promo_codes:write
DELETE /api/promo-codes/{promo_id}                          AM    promo_codes:write
POST   /api/orders/                                         -     bot
POST   /api/orders/pre-checkout                             -     bot
GET    /api/purchases/                                      AMS   purchases:read
POST   /api/purchases/create                                -     bot|purchases:write
POST   /api/purchases/returned                              -     bot|purchases:write
GET    /api/purchases/{purchase_id}                         AMS   purchases:read
POST   /api/purchases/{purchase_id}/refund                  AMS!  purchases:refund
GET    /api/users/{user_id}/purchases                       AMS   purchases:read
GET    /api/tickets/                                        AMS   tickets:read
POST   /api/tickets/                                        -     bot
GET    /api/tickets/{ticket_id}                             AMS   tickets:read
PUT    /api/tickets/{ticket_id}                             AS    tickets:write
POST   /api/tickets/{ticket_id}/messages                    AS    bot|tickets:write
GET    /api/bot/chats/{telegram_id}                         -     bot
PUT    /api/bot/chats/{telegram_id}                         -     bot
GET    /api/bot/chats/{telegram_id}/leaving                 -     bot
POST   /api/bot/chats/{telegram_id}/blocked                 -     bot
POST   /api/bot/chats/{telegram_id}/unblocked               -     bot
POST   /api/bot/lease                                       -     bot
PUT    /api/bot/me                                          -     bot
"""

PAGE_TABLE = """
GET    /                                                               *
GET    /login                                                          *
POST   /login                                                          *
GET    /enter/{token}                                                  *
POST   /enter/{token}                                                  *
GET    /invite/{token}                                                 *
POST   /invite/{token}                                                 *
POST   /logout                                                         *
GET    /forgot                                                         *
POST   /forgot                                                         *
GET    /forgot/sent                                                    *
GET    /reset/{token}                                                  *
POST   /reset/{token}                                                  *
GET    /confirm/{token}                                                *
POST   /confirm/{token}                                                *
GET    /welcome/{token}                                                *
POST   /welcome/{token}                                                *
POST   /login/with/{provider}                                          *
GET    /login/from/{provider}                                          *
GET    /register                                                       *
POST   /register                                                       *
GET    /register/sent                                                  *
GET    /dashboard/settings/accounts/                                   AMWS
POST   /dashboard/settings/accounts/{provider}/link                    AMWS!!
POST   /dashboard/settings/accounts/{identity_id}/unlink               AMWS!!
GET    /dashboard/settings/                                            AMWS
POST   /dashboard/settings/profile                                     AMWS??
POST   /dashboard/settings/email/cancel                                AMWS
POST   /dashboard/settings/password                                    AMWS??
POST   /dashboard/settings/language                                    *
POST   /dashboard/settings/theme                                       *
POST   /dashboard/settings/keys                                        AMWS
POST   /dashboard/settings/sessions/{session_id}/revoke                AMWS
POST   /dashboard/settings/sessions/revoke                             AMWS
POST   /dashboard/settings/tokens                                      A!
POST   /dashboard/settings/tokens/{token_id}/revoke                    A
POST   /dashboard/settings/school                                      A
POST   /dashboard/settings/alerts                                      A!
GET    /dashboard/settings/staff/                                      A
GET    /dashboard/settings/staff/export.csv                            A!
GET    /dashboard/settings/staff/export.xlsx                           A!
GET    /dashboard/settings/staff/pick/{name}                           A
GET    /dashboard/settings/staff/new                                   A
POST   /dashboard/settings/staff/                                      A!!
GET    /dashboard/settings/staff/{user_id}                             A
GET    /dashboard/settings/staff/{user_id}/edit                        A
POST   /dashboard/settings/staff/{user_id}                             A!!
POST   /dashboard/settings/staff/{user_id}/role                        A!!
POST   /dashboard/settings/staff/{user_id}/take-in                     A!!
POST   /dashboard/settings/staff/{user_id}/switch                      A!!
POST   /dashboard/settings/staff/{user_id}/sign-out                    A
POST   /dashboard/settings/staff/{user_id}/unlock                      A!!
POST   /dashboard/settings/staff/{user_id}/link                        A!!
POST   /dashboard/settings/staff/{user_id}/invite                      A!!
POST   /dashboard/settings/staff/{user_id}/factors/remove              A!!
POST   /dashboard/settings/staff/{user_id}/view                        A!
POST   /dashboard/return                                               AMWSL
GET    /dashboard/settings/audit/                                      A
GET    /dashboard/settings/audit/export.csv                            A!
GET    /dashboard/settings/audit/export.xlsx                           A!
GET    /dashboard/settings/audit/pick/{name}                           A
GET    /dashboard/settings/audit/{event_id}                            A
GET    /dashboard/settings/roles/                                      A
GET    /dashboard/settings/roles/matrix                                A
GET    /dashboard/settings/roles/new                                   A
POST   /dashboard/settings/roles/                                      A!!
GET    /dashboard/settings/roles/{role_id}                             A
POST   /dashboard/settings/roles/{role_id}                             A!!
POST   /dashboard/settings/roles/{role_id}/delete                      A!!
GET    /dashboard/                                                     AMWS
GET    /dashboard/search                                               AMWS
GET    /dashboard/history/                                             AMWS
GET    /dashboard/history/export.csv                                   AMWS!
GET    /dashboard/history/export.xlsx                                  AMWS!
GET    /dashboard/history/pick/{name}                                  AMWS
GET    /dashboard/history/{change_set_id}                              AMWS
GET    /dashboard/history/{change_set_id}/undo                         AMWS
POST   /dashboard/history/{change_set_id}/undo                         AMWS
GET    /dashboard/users/                                               AMS
GET    /dashboard/users/pick/{name}                                        AMS
GET    /dashboard/users/export.xlsx                                        AMS!
GET    /dashboard/users/{row_id}/cell/{name}                               AM
POST   /dashboard/users/{row_id}/cell/{name}                               AM
GET    /dashboard/users/bulk                                               AM
POST   /dashboard/users/bulk                                               AM?
GET    /dashboard/users/export.csv                                     AMS!
GET    /dashboard/users/new                                            AM
POST   /dashboard/users/                                               AM
GET    /dashboard/users/{user_id}                                      AMS
GET    /dashboard/users/{user_id}/edit                                 AM
POST   /dashboard/users/{user_id}                                      AM
POST   /dashboard/users/{user_id}/toggle                               AM
POST   /dashboard/users/{user_id}/delete                               AM
GET    /dashboard/users/{user_id}/grant                                AM
POST   /dashboard/users/{user_id}/grant                                AM
GET    /dashboard/users/{user_id}/personal                             AM
POST   /dashboard/users/{user_id}/personal/export                      AM!
POST   /dashboard/users/{user_id}/personal/erase                       AM!
GET    /dashboard/lessons/                                             AMWS
GET    /dashboard/lessons/pick/{name}                                      AMWS
GET    /dashboard/lessons/export.xlsx                                      AMWS!
GET    /dashboard/lessons/{row_id}/cell/{name}                             AW
POST   /dashboard/lessons/{row_id}/cell/{name}                             AW
POST   /dashboard/lessons/{row_id}/tags                                AW
POST   /dashboard/lessons/{row_id}/untag                               AW
GET    /dashboard/lessons/bulk                                             AW
POST   /dashboard/lessons/bulk                                             AW?
GET    /dashboard/lessons/export.csv                                   AMWS!
GET    /dashboard/lessons/new                                          AW
POST   /dashboard/lessons/preview                                      AW
POST   /dashboard/lessons/                                             AW
GET    /dashboard/lessons/{lesson_id}                                  AMWS
GET    /dashboard/lessons/{lesson_id}/edit                             AW
POST   /dashboard/lessons/{lesson_id}                                  AW
POST   /dashboard/lessons/{lesson_id}/toggle                           AW
POST   /dashboard/lessons/{lesson_id}/delete                           AW
GET    /dashboard/courses/                                             AMWS
GET    /dashboard/courses/pick/{name}                                      AMWS
GET    /dashboard/courses/export.xlsx                                      AMWS!
GET    /dashboard/courses/{row_id}/cell/{name}                             AW
POST   /dashboard/courses/{row_id}/cell/{name}                             AW
GET    /dashboard/courses/bulk                                             AW
POST   /dashboard/courses/bulk                                             AW?
GET    /dashboard/courses/export.csv                                   AMWS!
GET    /dashboard/courses/new                                          AW
POST   /dashboard/courses/preview                                      AW
POST   /dashboard/courses/                                             AW
GET    /dashboard/courses/{course_id}                                  AMWS
GET    /dashboard/courses/{course_id}/edit                             AW
POST   /dashboard/courses/{course_id}                                  AW
POST   /dashboard/courses/{course_id}/toggle                           AW
POST   /dashboard/courses/{course_id}/delete                           AW
POST   /dashboard/courses/{course_id}/lessons                          AW
POST   /dashboard/courses/{course_id}/lessons/{lesson_id}/remove       AW
POST   /dashboard/courses/{course_id}/lessons/{lesson_id}/move         AW
POST   /dashboard/courses/{course_id}/order                            AW
GET    /dashboard/users/import/                                       AM
POST   /dashboard/users/import/                                       AM
GET    /dashboard/users/import/sample.csv                             AM
GET    /dashboard/users/import/{import_id}                            AM
POST   /dashboard/users/import/{import_id}/check                      AM
POST   /dashboard/users/import/{import_id}/start                      AM
POST   /dashboard/users/import/{import_id}/drop                       AM
GET    /dashboard/users/import/{import_id}/problems.csv               AM!
GET    /dashboard/lessons/import/                                     AW
POST   /dashboard/lessons/import/                                     AW
GET    /dashboard/lessons/import/sample.csv                           AW
GET    /dashboard/lessons/import/{import_id}                          AW
POST   /dashboard/lessons/import/{import_id}/check                    AW
POST   /dashboard/lessons/import/{import_id}/start                    AW
POST   /dashboard/lessons/import/{import_id}/drop                     AW
GET    /dashboard/lessons/import/{import_id}/problems.csv             AW!
GET    /dashboard/courses/import/                                     AW
POST   /dashboard/courses/import/                                     AW
GET    /dashboard/courses/import/sample.csv                           AW
GET    /dashboard/courses/import/{import_id}                          AW
POST   /dashboard/courses/import/{import_id}/check                    AW
POST   /dashboard/courses/import/{import_id}/start                    AW
POST   /dashboard/courses/import/{import_id}/drop                     AW
GET    /dashboard/courses/import/{import_id}/problems.csv             AW!
GET    /dashboard/promo-codes/import/                                 AM
POST   /dashboard/promo-codes/import/                                 AM
GET    /dashboard/promo-codes/import/sample.csv                       AM
GET    /dashboard/promo-codes/import/{import_id}                      AM
POST   /dashboard/promo-codes/import/{import_id}/check                AM
POST   /dashboard/promo-codes/import/{import_id}/start                AM
POST   /dashboard/promo-codes/import/{import_id}/drop                 AM
GET    /dashboard/promo-codes/import/{import_id}/problems.csv         AM!
GET    /dashboard/media/{media_id}                                     AW
GET    /dashboard/promo-codes/                                         AM
GET    /dashboard/promo-codes/export.xlsx                                  AM!
GET    /dashboard/promo-codes/{row_id}/cell/{name}                         AM
POST   /dashboard/promo-codes/{row_id}/cell/{name}                         AM
GET    /dashboard/promo-codes/bulk                                         AM
POST   /dashboard/promo-codes/bulk                                         AM?
GET    /dashboard/promo-codes/export.csv                               AM!
GET    /dashboard/promo-codes/new                                      AM
POST   /dashboard/promo-codes/                                         AM
GET    /dashboard/promo-codes/{promo_id}                               AM
GET    /dashboard/promo-codes/{promo_id}/edit                          AM
POST   /dashboard/promo-codes/{promo_id}                               AM
POST   /dashboard/promo-codes/{promo_id}/toggle                        AM
POST   /dashboard/promo-codes/{promo_id}/delete                        AM
GET    /dashboard/sales/orders/                                        AMS
GET    /dashboard/sales/orders/pick/{name}                             AMS
GET    /dashboard/sales/orders/export.xlsx                             AMS!
GET    /dashboard/sales/orders/export.csv                              AMS!
GET    /dashboard/sales/orders/{order_id}                              AMS
GET    /dashboard/sales/payments/                                      AMS
GET    /dashboard/sales/payments/pick/{name}                               AMS
GET    /dashboard/sales/payments/export.xlsx                               AMS!
GET    /dashboard/sales/payments/export.csv                            AMS!
GET    /dashboard/sales/payments/{payment_id}                          AMS
POST   /dashboard/sales/payments/{payment_id}/retry                    AMS!
GET    /dashboard/sales/                                               AMS
GET    /dashboard/sales/pick/{name}                                        AMS
GET    /dashboard/sales/export.xlsx                                        AMS!
GET    /dashboard/sales/export.csv                                     AMS!
GET    /dashboard/sales/{purchase_id}                                  AMS
GET    /dashboard/sales/{purchase_id}/refund                           AMS!
POST   /dashboard/sales/{purchase_id}/refund                           AMS!
POST   /dashboard/sales/{purchase_id}/revoke                           AM
GET    /dashboard/tickets/                                             AMS
GET    /dashboard/tickets/list/                                        AMS
GET    /dashboard/tickets/list/export.csv                              AMS!
GET    /dashboard/tickets/list/export.xlsx                             AMS!
GET    /dashboard/tickets/list/pick/{name}                             AMS
GET    /dashboard/tickets/list/bulk                                    AS
POST   /dashboard/tickets/list/bulk                                    AS?
GET    /dashboard/tickets/badge                                        AMS
GET    /dashboard/tickets/new                                          AS
POST   /dashboard/tickets/                                             AS
GET    /dashboard/tickets/{ticket_id}                                  AMS
GET    /dashboard/tickets/{ticket_id}/history                          AMS
GET    /dashboard/tickets/{ticket_id}/thread                           AMS
POST   /dashboard/tickets/{ticket_id}/messages                         AS
POST   /dashboard/tickets/{ticket_id}/assign                           AS
POST   /dashboard/tickets/{ticket_id}/status                           AS
POST   /dashboard/tickets/{ticket_id}/delete                           AS
POST   /dashboard/tickets/{ticket_id}/messages/{message_id}/cancel     AS
POST   /dashboard/tickets/{ticket_id}/messages/{message_id}/resend     AS
POST   /dashboard/users/{row_id}/tags                                  AM
POST   /dashboard/users/{row_id}/untag                                 AM
GET    /dashboard/jobs/                                                AMWS
GET    /dashboard/jobs/pick/{name}                                     AMWS
GET    /dashboard/jobs/export.csv                                      AMWS!
GET    /dashboard/jobs/export.xlsx                                     AMWS!
GET    /dashboard/jobs/{job_id}                                        AMWS
GET    /dashboard/jobs/{job_id}/events                                 AMWS
GET    /dashboard/jobs/{job_id}/errors.csv                             AMWS!
POST   /dashboard/jobs/{job_id}/pause                                  AMWS
POST   /dashboard/jobs/{job_id}/resume                                 AMWS
POST   /dashboard/jobs/{job_id}/cancel                                 AMWS
POST   /dashboard/jobs/{job_id}/undo                                   AMWS
GET    /dashboard/outbox/                                              A
GET    /dashboard/outbox/export.csv                                    A!
GET    /dashboard/outbox/export.xlsx                                   A!
GET    /dashboard/outbox/letters/{letter_id}                           A
POST   /dashboard/outbox/letters/{letter_id}                           A!!
GET    /dashboard/outbox/pick/{name}                                       A
GET    /dashboard/outbox/bulk                                              A
POST   /dashboard/outbox/bulk                                              A
POST   /dashboard/outbox/{dispatch_id}/resend                          A
POST   /dashboard/outbox/{dispatch_id}/cancel                          A
POST   /dashboard/views/                                               AMWS
GET    /dashboard/views/{view_id}                                      AMWS
POST   /dashboard/views/{view_id}                                      A
POST   /dashboard/views/{view_id}/query                                A
POST   /dashboard/views/{view_id}/marks                                AMWS
POST   /dashboard/views/{view_id}/delete                               A
GET    /login/second                                                   *
POST   /login/second                                                   *
POST   /login/second/passkey                                           *
POST   /login/passkey                                                  *
GET    /dashboard/confirm/                                             AMWS
POST   /dashboard/confirm/                                             AMWS
POST   /dashboard/confirm/passkey                                      AMWS
GET    /dashboard/settings/security/                                   AMWS
GET    /dashboard/settings/security/app                                AMWS!!
POST   /dashboard/settings/security/app                                AMWS!!
GET    /dashboard/settings/security/passkeys/new                       AMWS!!
POST   /dashboard/settings/security/passkeys                           AMWS!!
POST   /dashboard/settings/security/factors/{credential_id}/remove     AMWS!!
POST   /dashboard/settings/security/codes                              AMWS!!
POST   /dashboard/settings/security/trusted/forget                     AMWS
GET    /health                                                         *
GET    /health/ready                                                   *
GET    /metrics                                                        *
GET    /openapi.json                                                   *
GET    /docs                                                           *
GET    /redoc                                                          *
"""


@dataclass(frozen=True)
class Rule:
    method: str
    path: str
    roles: str
    proof: str = ""  # "!" always, "?" for some of what it does; twice: by the second factor
    scopes: frozenset[str] = field(default_factory=frozenset)

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def asks(self) -> bool:
        return self.proof.startswith("!")

    @property
    def writes(self) -> bool:
        return self.method != "GET"

    def address(self, ids: dict[str, str]) -> str:
        """`{row_id}`: the record of the list's own kind."""
        kind = re.match(r"/dashboard/(\w+?)s/{row_id}", self.path)
        known = ids | {"row_id": ids[f"{kind[1]}_id"]} if kind else ids
        return re.sub(r"{(\w+)}", lambda match: known[match[1]], self.path)


def rules(table: str) -> list[Rule]:
    made = []
    for line in table.strip().splitlines():
        method, path, marked, *scopes = line.split()
        roles = marked.rstrip("!?")
        rights = frozenset(scopes[0].split("|") if scopes else ())
        made.append(Rule(method, path, roles, marked.removeprefix(roles), rights))
    return made


API = rules(API_TABLE)
PAGES = rules(PAGE_TABLE)
PRIVATE = [rule for rule in (*API, *PAGES) if rule.roles != "*"]
