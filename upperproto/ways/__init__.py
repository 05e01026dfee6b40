"""
The ways from a socket to the protocol: endpoints, PROXY headers, handshakes.
"""
