"""Tests of L{upperproto.tls}."""
