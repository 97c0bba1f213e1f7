"""Backups 备份 of the cloud: one file with the database, and its settings and secrets where they are asked for."""
