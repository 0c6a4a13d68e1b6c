"""A static site of a sweep."""
