"""
upper-client talk: a conversation on a terminal, or a filter.
"""
