"""
Faults on demand: a server endpoint that disturbs connections like a bad network.
"""
