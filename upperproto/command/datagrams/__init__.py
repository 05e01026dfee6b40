"""
The commands upper-client ping and check over UDP.
"""
