"""
The status of the running service over HTTP: a page, health checks and metrics.
"""
