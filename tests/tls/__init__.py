"""Tests of L{upperproto.ways.tls}."""
