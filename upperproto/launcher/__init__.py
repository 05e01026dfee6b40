"""
How the service is started: the command C{upper}, and options from the environment.
"""
