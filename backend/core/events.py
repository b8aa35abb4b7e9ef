"""Security events by the names of the OWASP Logging Vocabulary, each with its words and its weight.

https://cheatsheetseries.owasp.org/cheatsheets/Logging_Vocabulary_Cheat_Sheet.html
"""

from enum import StrEnum

from backend.core.i18n import N_


class Event(StrEnum):
    LOGIN_SUCCESS = "authn_login_success"
    LOGIN_NEW_DEVICE = "authn_login_new_device"
    LOGIN_FAIL = "authn_login_fail"
    LOGIN_FAIL_MAX = "authn_login_fail_max"
    LOCK_LIFTED = "authn_login_lock_lifted"
    FACTOR_ASKED = "authn_factor_asked"
    FACTOR_FAIL = "authn_factor_fail"
    FACTOR_FAIL_MAX = "authn_factor_fail_max"
    FACTOR_ADDED = "authn_factor_added"
    FACTOR_REMOVED = "authn_factor_removed"
    RECOVERY_USED = "authn_recovery_code_used"
    CONFIRMED = "authn_reauthenticated"
    PASSWORD_CHANGE = "authn_password_change"  # noqa: S105 - the name of an event
    PASSWORD_RESET_ASKED = "authn_password_reset_asked"  # noqa: S105 - the name of an event
    EMAIL_CHANGED = "authn_email_change"
    TOKEN_CREATED = "authn_token_created"  # noqa: S105 - the name of an event
    TOKEN_REVOKED = "authn_token_revoked"  # noqa: S105 - the name of an event
    TOKEN_REUSE = "authn_token_reuse"  # noqa: S105 - the name of an event
    TOKEN_REFUSED = "authn_token_refused"  # noqa: S105 - the name of an event
    LINK_CREATED = "authn_link_created"
    TRUST_BEGUN = "authn_trust_begun"
    TRUST_ENDED = "authn_trust_ended"
    IDENTITY_LINKED = "authn_identity_linked"
    IDENTITY_REFUSED = "authn_identity_refused"
    IDENTITY_UNLINKED = "authn_identity_unlinked"
    IMPERSONATED = "authn_impersonated"
    IMPERSONATION_ENDED = "authn_impersonation_ended"
    SESSION_ENDED = "session_revoked"
    REFUSED = "authz_fail"
    RIGHTS_CHANGED = "authz_change"
    ROLE_CHANGED = "authz_role_change"
    USER_CREATED = "user_created"
    REGISTERED = "user_registered"
    USER_INVITED = "user_invited"
    USER_DISABLED = "user_disabled"
    USER_ENABLED = "user_enabled"
    EXPORTED = "sensitive_read"
    LETTER_READ = "sensitive_read_letter"
    ERASED = "sensitive_delete"
    KEYS_ROTATED = "sys_keys_rotated"
    DEMO_REMOVED = "sys_demo_removed"
    ALERTS_CHANGED = "sys_alerts_changed"
    AUDIT_STARTED = "sys_audit_started"
    AUDIT_BROKEN = "sys_audit_broken"


E = Event
LABELS: dict[Event, str] = {
    E.LOGIN_SUCCESS: N_("Signed in"),
    E.LOGIN_NEW_DEVICE: N_("Signed in on a new device"),
    E.LOGIN_FAIL: N_("Wrong password"),
    E.LOGIN_FAIL_MAX: N_("Too many sign-in attempts"),
    E.LOCK_LIFTED: N_("An account was unlocked"),
    E.FACTOR_ASKED: N_("Second factor requested"),
    E.FACTOR_FAIL: N_("Wrong second factor"),
    E.FACTOR_FAIL_MAX: N_("Too many second factor attempts"),
    E.FACTOR_ADDED: N_("A second factor was added"),
    E.FACTOR_REMOVED: N_("A second factor was removed"),
    E.RECOVERY_USED: N_("A recovery code was used"),
    E.CONFIRMED: N_("Confirmed their identity"),
    E.PASSWORD_CHANGE: N_("The password was changed"),
    E.PASSWORD_RESET_ASKED: N_("A password reset was requested"),
    E.EMAIL_CHANGED: N_("The email was changed"),
    E.TOKEN_CREATED: N_("An API token was created"),
    E.TOKEN_REVOKED: N_("An API token was revoked"),
    E.TOKEN_REUSE: N_("A refresh token was reused"),
    E.TOKEN_REFUSED: N_("An unknown token was presented"),
    E.LINK_CREATED: N_("A sign-in link was created"),
    E.TRUST_BEGUN: N_("A device was trusted"),
    E.TRUST_ENDED: N_("Trusted devices were forgotten"),
    E.IDENTITY_LINKED: N_("An external account was linked"),
    E.IDENTITY_REFUSED: N_("A sign-in through another service was refused"),
    E.IDENTITY_UNLINKED: N_("An external account was unlinked"),
    E.IMPERSONATED: N_("Viewed as another person"),
    E.IMPERSONATION_ENDED: N_("Returned to their own account"),
    E.SESSION_ENDED: N_("A device was signed out"),
    E.REFUSED: N_("Access denied: missing permission"),
    E.RIGHTS_CHANGED: N_("A role's permissions were changed"),
    E.ROLE_CHANGED: N_("A person's role was changed"),
    E.USER_CREATED: N_("A staff member was added"),
    E.REGISTERED: N_("A student signed up"),
    E.USER_INVITED: N_("A staff member was invited"),
    E.USER_DISABLED: N_("An account was turned off"),
    E.USER_ENABLED: N_("An account was turned on"),
    E.EXPORTED: N_("Data was exported"),
    E.LETTER_READ: N_("The link in an email was viewed"),
    E.ERASED: N_("Personal data was erased"),
    E.KEYS_ROTATED: N_("Keys were rotated"),
    E.DEMO_REMOVED: N_("The demo school was removed"),
    E.ALERTS_CHANGED: N_("Alert settings were changed"),
    E.AUDIT_STARTED: N_("The history chain was started"),
    E.AUDIT_BROKEN: N_("The history chain is broken"),
}

NEW_ADMIN = "new_admin"  # by whatever event someone becomes one
TOLD = E.LOGIN_NEW_DEVICE, E.LOGIN_FAIL_MAX, E.FACTOR_FAIL_MAX, E.TOKEN_REUSE, E.FACTOR_REMOVED
# What those who run the school are told of at once, unless they choose otherwise (crud.alerts).
ALERTS: dict[str, str] = {
    **{kind.value: LABELS[kind] for kind in TOLD},
    NEW_ADMIN: N_("A new administrator"),
    E.AUDIT_BROKEN.value: LABELS[E.AUDIT_BROKEN],
}
# How they are told. The first is what holds until someone chooses.
ALERT_WAYS: dict[str, str] = {
    "first": N_("By email, otherwise in the bot chat"),
    "email": N_("By email only"),
    "chat": N_("In the bot chat only"),
    "both": N_("By email and in the bot chat"),
}
# What the details of events are called; what is not named here is told to programs only.
DETAILS: dict[str, str] = {
    "method": N_("How"),
    "provider": N_("Service"),
    "role": N_("Role"),
    "before": N_("Before"),
    "after": N_("After"),
    "given": N_("Rights given"),
    "taken": N_("Rights taken"),
    "right": N_("Missing right"),
    "scopes": N_("Rights of the token"),
    "name": N_("Name"),
    "runs_school": N_("May run the school"),
    "limit": N_("Who has to wait"),
    "address": N_("Address"),
    "everyone": N_("Everyone"),
    "all": N_("All devices"),
    "others": N_("All other devices"),
    "session_id": N_("Session number"),
    "kinds": N_("Kinds"),
    "kind": N_("Kind"),
    "factor": N_("Factor"),
    "left": N_("Codes left"),
    "what": N_("What"),
    "format": N_("Format"),
    "filters": N_("Filters"),
    "rows": N_("Rows"),
    "route": N_("Page"),
    "why": N_("Reason"),
    "reason": N_("Reason"),
    "problem": N_("Problem"),
    "sent": N_("What came"),
    "letter": N_("Letter"),
    "about": N_("About whom"),
    "by": N_("By"),
    "read_only": N_("Read only"),
    "alerts": N_("Alerts"),
    "alert_way": N_("Alert delivery"),
    "again": N_("Not for the first time"),
    "older_at": N_("History that was already there, since"),
    "sealed": N_("Sealed anew"),
    "lost": N_("Lost"),
    "new": N_("New"),
    "redactions": N_("Rows redacted"),
}
# What may stand in them besides names, numbers and rights.
VALUES: dict[str, str] = {
    "account": N_("the account"),
    "address": N_("the network address"),
    "everyone": N_("everyone"),
    "csrf": N_("a form of another site, or out of date"),
    "viewing": N_("closed while viewing as somebody"),
    "read_only": N_("viewing is read-only"),
    "password": N_("password"),
    "passkey": N_("passkey"),
    "totp": N_("code from the app"),
    "recovery": N_("recovery code"),
    "link": N_("one-time link"),
    "reset": N_("new password by a link"),
    "invitation": N_("invitation"),
}
