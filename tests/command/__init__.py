"""Tests of L{upperproto.command}."""
