"""
The command upper-client.
"""
