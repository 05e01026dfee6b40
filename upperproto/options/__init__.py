"""
Options: values of what a command line and the environment say.
"""
