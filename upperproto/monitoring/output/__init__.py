"""
Output of logs that never makes the reactor wait.
"""
