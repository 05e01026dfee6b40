"""
From a socket to the protocol: endpoints, inherited sockets, PROXY headers, TLS.
"""
