"""Tests of L{upperproto.limits.descriptors}."""
