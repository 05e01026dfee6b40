"""Tests of L{upperproto.command.talk}."""
