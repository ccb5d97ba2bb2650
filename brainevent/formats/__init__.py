"""The connectivity formats, one file a family."""
