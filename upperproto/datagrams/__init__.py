"""
UDP: each datagram is one text, and its answer another.
"""
