"""Tests of L{upperproto.command.formats}."""
