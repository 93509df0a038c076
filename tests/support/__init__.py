"""What the tests stand on: real Redis servers, a proxy that misbehaves on command, and both colours of calls.

None of these imports holdfast, so that a fault of ours cannot hide in the ground that the tests stand on.
"""
