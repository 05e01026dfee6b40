"""Tests of L{upperproto.command.route}."""
