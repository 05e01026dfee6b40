"""
Limits: how many connections there may be, how long they may be idle, how they end.
"""
