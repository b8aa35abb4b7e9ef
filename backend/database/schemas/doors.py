"""Ways in besides a password: what their forms and calls hold."""

from typing import Annotated, Literal

from pydantic import ConfigDict, EmailStr, Field, StringConstraints

from backend.database.schemas.auth import Login, Password
from backend.database.schemas.base import Input, Output


class ForgotForm(Input):
    """`username` is a login or an e-mail."""

    username: Login


class ForgotRequest(Input):
    email: Annotated[str, Field(min_length=1, max_length=254, examples=["anna@school.example"])]


class Told(Output):
    """The same whoever is asked about: nobody learns who has an account."""

    status: Literal["sent"] = "sent"


class NewPassword(Input):
    model_config = ConfigDict(hide_input_in_errors=True)

    password: Password
    repeat: Password


class RegisterRequest(Input):
    model_config = ConfigDict(hide_input_in_errors=True)

    email: Annotated[EmailStr, Field(max_length=254, examples=["olga@pupils.example"])]
    password: Annotated[Password, Field(examples=["correct horse battery staple"])]
    first_name: Annotated[str, Field(min_length=1, max_length=128, examples=["Ольга"])]
    last_name: Annotated[str | None, Field(max_length=128, examples=["Ковалёва"])] = None


class WelcomeForm(Input):
    """The password that was chosen when signing up."""

    model_config = ConfigDict(hide_input_in_errors=True)

    password: Annotated[str, StringConstraints(strip_whitespace=False, min_length=1, max_length=1024)]


class LeaveForm(Input):
    next: Annotated[str, Field(max_length=2000)] = "/dashboard/"
