"""
Speed: a reactor, and the transports and ports that it makes.
"""
