"""
The output formats of ask, ping and check: text, json, plugin, prometheus.
"""
