"""Delivery to Microsoft Dynamics 365 Business Central, over its API v2.0."""
