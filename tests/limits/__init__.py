"""Tests of L{upperproto.limits}."""
