"""The command line for admins: `python -m cli`. Acts as the system, with the secret key."""
