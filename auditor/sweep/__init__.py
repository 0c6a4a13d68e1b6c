"""Audits of a whole repository's pull requests, kept in one store."""
