"""Tests of L{upperproto.command.check}."""
