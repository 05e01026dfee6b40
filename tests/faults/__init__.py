"""Tests of L{upperproto.faults}."""
