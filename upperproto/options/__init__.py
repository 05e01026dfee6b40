"""
Options of the service: values from the command line and the environment.
"""
