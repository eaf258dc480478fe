"""The embedded Postgres: a real server that belongs to one user and outlives the command.

`server` starts and stops it, `cluster` makes its folders and files, `programs` finds and runs
Postgres's programs.
"""

from regime_engine.database.embedded.cluster import client_folder
from regime_engine.database.embedded.server import start, status, stop

__all__ = ["client_folder", "start", "status", "stop"]
