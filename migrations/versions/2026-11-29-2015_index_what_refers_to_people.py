"""index what refers to people, so that one who is deleted is not looked for in every row"""

from alembic import op

revision = "202611292015"
down_revision = "202611291910"
branch_labels = None
depends_on = None

INDEXES = (
    ("ix_messages_sender_id", "messages", "sender_id"),
    ("ix_refunds_actor_id", "refunds", "actor_id"),
    ("ix_media_uploader_id", "media", "uploader_id"),
    ("ix_sessions_impersonator_id", "sessions", "impersonator_id"),
    ("ix_sessions_parent_id", "sessions", "parent_id"),
)


def upgrade() -> None:
    for name, table, column in INDEXES:
        op.create_index(name, table, [column])


def downgrade() -> None:
    for name, table, _column in reversed(INDEXES):
        op.drop_index(name, table_name=table)
