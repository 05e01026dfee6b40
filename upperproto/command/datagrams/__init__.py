"""
upper-client ping and check over UDP.
"""
