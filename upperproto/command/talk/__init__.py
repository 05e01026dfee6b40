"""
The command upper-client talk: send text from a terminal, or from standard input.
"""
