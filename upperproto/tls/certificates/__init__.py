"""
The certificates of both sides: a server's files, what a client shows and trusts, and
what each side learns of the other.
"""
