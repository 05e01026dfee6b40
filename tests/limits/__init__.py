"""Tests of L{upperproto.limits.descriptorlimit}."""
