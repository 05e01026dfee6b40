"""
The service over UDP: each datagram is one text, and its answer is one datagram.
"""
