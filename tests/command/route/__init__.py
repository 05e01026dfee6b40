"""
Tests for L{upperproto.command.route}.
"""
