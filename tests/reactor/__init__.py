"""Tests of L{upperproto.reactor}."""
