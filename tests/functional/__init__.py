"""Tests with real processes and sockets, on ports that the system hands out."""
