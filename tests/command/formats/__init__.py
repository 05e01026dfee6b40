"""
Tests for L{upperproto.command.formats}.
"""
