"""
Tests for L{upperproto.options}.
"""
