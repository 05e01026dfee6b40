"""
Who may come, how long a silent one may stay, and how all of them go.
"""
