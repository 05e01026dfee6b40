"""
TLS without losing an answer, and the certificates of both sides.
"""
