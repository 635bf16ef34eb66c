"""Uploads: a file that somebody sends becomes text, or a refusal that says why.

Nothing here trusts a file. What it is follows from its first bytes, not from its name; it is taken apart by `child`, a
process of its own with bounded memory and time and no environment; only text comes back, and the bytes are thrown
away. `extraction` is the door.
"""
