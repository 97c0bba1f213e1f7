"""The database's schema, step by step (Alembic). cloud.db.migrate runs them."""
