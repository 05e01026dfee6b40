"""Tests of L{upperproto.command.findings}."""
