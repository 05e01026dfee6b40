"""Tests of L{upperproto.monitoring.output}."""
