"""
The command C{upper}, which starts the service.
"""
