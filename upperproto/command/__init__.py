"""
The command upper-client: send text to a server, and find faults on the path to it.
"""
