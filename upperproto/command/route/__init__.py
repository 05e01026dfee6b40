"""
Connections to the server: its name, its addresses, TLS and the PROXY header.
"""
