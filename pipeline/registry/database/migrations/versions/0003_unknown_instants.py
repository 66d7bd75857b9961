"""Distinguish an unknown instant from the first one of 1970.

Both were 0. What has one of them is read again, and is listed with its date where that is known.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_UNKNOWN = -(2**63)
_ARTIFACT = sa.table(
    "artifact", sa.column("key"), sa.column("created"), sa.column("modified"), sa.column("listing")
)
_LISTED = sa.table("listed_run_detail", sa.column("key"), sa.column("listing"))


def upgrade() -> None:
    """Replace 0 by what no instant is, and have those artifacts read again."""
    columns = _ARTIFACT.c
    modified = sa.update(_ARTIFACT).where(columns.modified == 0)
    op.execute(modified.values(modified=sa.literal_column(str(_UNKNOWN))))
    created = sa.update(_ARTIFACT).where(columns.created == 0)
    op.execute(created.values(created=sa.literal_column(str(_UNKNOWN)), listing=""))
    if op.get_bind().dialect.name == "sqlite":
        read_again = sa.select(columns.key).where(columns.listing == "")
        op.execute(sa.update(_LISTED).where(_LISTED.c.key.in_(read_again)).values(listing=""))
