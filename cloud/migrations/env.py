"""How Alembic runs: on the connection that cloud.db.migrate gives it, in that connection's transaction."""

from __future__ import annotations

from alembic import context

from cloud.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
