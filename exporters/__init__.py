"""Approved claims in, accounting files out: values to bytes, with no clock and no network."""
