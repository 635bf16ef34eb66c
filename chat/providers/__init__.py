"""The only rooms that reach a model: a seam, its real implementation, and two doubles that ship with it."""
