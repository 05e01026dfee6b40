"""
upper-client check: a path, examined step by step.
"""
