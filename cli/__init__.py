"""The command line for admins, `.venv/bin/python -m cli`: acts as the system."""
