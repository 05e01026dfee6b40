"""Tests of L{upperproto.monitoring}."""
