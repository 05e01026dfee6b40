"""
How the server is reached: what was named becomes a connection.
"""
