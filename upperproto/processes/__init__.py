"""
One service in several processes.
"""
