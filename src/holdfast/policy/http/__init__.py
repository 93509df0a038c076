"""Decisions of a shared HTTP cache (RFC 9111): text in, values out; no odd field raises, and no clock is asked."""
