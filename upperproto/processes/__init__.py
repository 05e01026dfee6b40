"""
Run the service in several worker processes, with one supervisor.
"""
