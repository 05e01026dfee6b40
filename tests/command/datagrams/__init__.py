"""Tests of L{upperproto.command.datagrams}."""
