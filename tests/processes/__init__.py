"""Tests of L{upperproto.processes}."""
