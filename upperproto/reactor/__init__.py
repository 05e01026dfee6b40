"""
A faster reactor, and the transports and ports that it makes.
"""
