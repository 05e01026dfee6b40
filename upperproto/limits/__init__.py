"""
Limits: who may come, how long a silent connection may stay, and how all of them end.
"""
