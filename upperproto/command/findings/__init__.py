"""
What probes find: records, faults and statistics, and the base class of the formats.
"""
