"""
The output of logs to files, pipes and terminals; it never makes the reactor wait.
"""
