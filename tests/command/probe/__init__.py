"""
Tests for L{upperproto.command.probe}.
"""
