"""
The command upper-client: talk to a server, and find the fault of a path to it.
"""
