"""Tests of L{upperproto.command.probe}."""
