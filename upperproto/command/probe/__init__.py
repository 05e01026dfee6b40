"""
upper-client ask and ping: known answers, and how long they take.
"""
