"""Tests of C{upper-client} with real processes and sockets."""
