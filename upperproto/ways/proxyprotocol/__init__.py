"""
The PROXY protocol: its header, and connections that wait for one.
"""
