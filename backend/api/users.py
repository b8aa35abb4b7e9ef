from typing import Annotated

from fastapi import Path, Query

from backend.core.deps import BAD_LIST, CONFLICT, NOT_FOUND, Reply, Routes, crud, require
from backend.core.errors import ForbiddenError
from backend.core.permissions import Permission
from backend.database.crud.users import UserCRUD
from backend.database.schemas.base import MAX_ID, ListResponse
from backend.database.schemas.users import UserCreate, UserFilters, UserResponse, UserUpdate

router = Routes(prefix="/api/users", tags=["users"])
Users = Annotated[UserCRUD, crud(UserCRUD)]
UserId = Annotated[int, Path(ge=1, le=MAX_ID, examples=[1])]


@router.get(
    "/",
    response_model=ListResponse[UserResponse],
    dependencies=[require(Permission.USERS_READ)],
    summary="List people",
    responses=BAD_LIST,
)
def list_users(users: Users, params: Annotated[UserFilters, Query()]) -> object:
    """`q` searches names, @username and telegram_id."""
    if params.telegram_id is not None and params.model_fields_set == {"telegram_id"}:
        return users.known_as(params.telegram_id)
    return users.get_all(params)


@router.post(
    "/",
    response_model=UserResponse,
    status_code=201,
    dependencies=[require(Permission.USERS_WRITE)],
    summary="Register a student",
    responses={200: {"model": UserResponse, "description": "Known before; refreshed"}, **CONFLICT},
)
def register_user(users: Users, data: UserCreate) -> object:
    """Safe to repeat: a known telegram_id answers 200 with the same person."""
    user, new = users.register(data)
    return Reply(user, 201 if new else 200)


@router.get(
    "/{user_id}",
    response_model=UserResponse,
    dependencies=[require(Permission.USERS_READ)],
    summary="One person",
    responses=NOT_FOUND,
)
def get_user(users: Users, user_id: UserId) -> object:
    return users.get_by_id(user_id)


@router.put(
    "/{user_id}",
    response_model=UserResponse,
    dependencies=[require(Permission.USERS_WRITE)],
    summary="Change a person",
    responses={**NOT_FOUND, **CONFLICT},
)
def update_user(users: Users, user_id: UserId, data: UserUpdate) -> object:
    """Replaces only the fields sent. Members of staff are changed on the page of the staff only."""
    if not users.is_student(users.get_by_id(user_id)):
        raise ForbiddenError
    return users.update(user_id, data)
