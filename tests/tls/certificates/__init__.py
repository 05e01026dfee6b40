"""
Tests for L{upperproto.tls.certificates}.
"""
