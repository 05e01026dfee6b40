"""
Tests for L{upperproto.command.talk}.
"""
