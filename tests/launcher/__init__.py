"""
Tests for L{upperproto.launcher}.
"""
