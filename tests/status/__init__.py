"""Tests of L{upperproto.status}."""
