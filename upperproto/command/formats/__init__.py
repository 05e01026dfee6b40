"""
The ways to print what ask, ping and check have found.
"""
