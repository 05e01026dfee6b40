"""
What probes find: records, faults and statistics.
"""
