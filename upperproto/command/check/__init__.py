"""
The command upper-client check: examine the path to a server step by step.
"""
