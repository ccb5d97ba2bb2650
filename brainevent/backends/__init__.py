"""Backends, a folder each: delete one, and its line in `core.table`, and everything runs on those that are left."""
