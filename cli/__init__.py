"""The command line for admins: `.venv/bin/python -m cli`. Acts as the system, with the secret key."""
