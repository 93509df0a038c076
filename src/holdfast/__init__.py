"""One Redis layer for every Python web app."""
