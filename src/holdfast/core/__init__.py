"""One coroutine a feature, over the port and the policy. It never sees the backend, a clock or a thread."""
