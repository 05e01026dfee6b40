"""
Tests for L{upperproto.command.check}.
"""
