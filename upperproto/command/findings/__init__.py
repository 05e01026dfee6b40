"""
What probes find: records and faults, and what a format has to print of them.
"""
