"""
Status: what the running service tells over HTTP, to people and to machines.
"""
