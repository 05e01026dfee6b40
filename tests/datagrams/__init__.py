"""Tests of L{upperproto.datagrams}."""
