"""
Tests for L{upperproto.ways.proxyprotocol}.
"""
