"""
The output formats of ask, ping and check (text, json, plugin, prometheus), and the base
class of them all.
"""
