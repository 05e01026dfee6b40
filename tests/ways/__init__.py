"""Tests of L{upperproto.ways}."""
