"""
C{python -m upperproto.command}: the same as C{upper-client}.
"""

from upperproto.command.main import run

run()
