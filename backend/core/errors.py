"""Domain errors: raised anywhere below the routes, rendered in one place (core.handlers)."""

from collections.abc import Mapping

from backend.core.i18n import N_, _


class AppError(Exception):
    """What a person or a client did that cannot be done. The message is for them, in their language."""

    status = 400
    code = "bad_request"
    default = N_("The request could not be understood.")

    def __init__(
        self,
        message: str | None = None,
        *,
        code: str | None = None,
        fields: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.message = message if message is not None else _(self.default)
        if code is not None:
            self.code = code
        self.fields = dict(fields or {})
        self.headers = dict(headers or {})
        super().__init__(self.message)


class NotAuthenticatedError(AppError):
    status = 401
    code = "not_authenticated"
    default = N_("Sign in first.")


class ForbiddenError(AppError):
    status = 403
    code = "forbidden"
    default = N_("You do not have permission to do this.")


class ConfirmationRequiredError(ForbiddenError):
    """The right is there; the person has to prove once more who they are."""

    code = "confirmation_required"
    default = N_("Confirm it's you first: your last confirmation is over 15 minutes old.")


class StrongProofRequiredError(ConfirmationRequiredError):
    """Whoever has a second factor has to prove it by that: a password alone is not enough here."""


class FactorMissingError(ForbiddenError):
    """The person's role asks for a second factor, and they have none."""

    code = "second_factor_missing"
    default = N_("Your role requires two-factor authentication. Set it up in Settings first.")


class NotFoundError(AppError):
    status = 404
    code = "not_found"
    default = N_("There is nothing at this address.")


class ConflictError(AppError):
    status = 409
    code = "conflict"
    default = N_("Someone changed this in the meantime. Reload and try again.")


class TooLargeError(AppError):
    status = 413
    code = "too_large"
    default = N_("This is too large to accept.")


class UnsupportedMediaError(AppError):
    status = 415
    code = "unsupported_media_type"
    default = N_("This kind of content is not accepted here.")


class InvalidError(AppError):
    """Input that is well formed but wrong; `fields` names what to mend."""

    status = 422
    code = "validation"
    default = N_("Check the marked fields.")


class TooManyRequestsError(AppError):
    status = 429
    code = "too_many_requests"
    default = N_("Too many requests. Wait a little and try again.")

    def __init__(self, message: str | None = None, *, retry_after: int = 60) -> None:
        super().__init__(message, headers={"Retry-After": str(retry_after)})


class UnavailableError(AppError):
    status = 503
    code = "unavailable"
    default = N_("The service is busy. Try again in a moment.")

    def __init__(self, message: str | None = None, *, retry_after: int = 1) -> None:
        super().__init__(message, headers={"Retry-After": str(retry_after)})
