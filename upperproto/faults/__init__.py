"""
Faults on demand: a server endpoint that treats connections as a bad network path does.
"""
