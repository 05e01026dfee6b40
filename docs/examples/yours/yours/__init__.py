"""A network service that answers each line with the same line, reversed."""
