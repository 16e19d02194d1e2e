"""The controller's records, in SQLite."""
