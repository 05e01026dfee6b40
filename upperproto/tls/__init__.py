"""
A TLS transport that loses no answer, and the certificates of both sides.
"""
