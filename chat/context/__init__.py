"""The context engine: what the model sees of a conversation.

Pure: values in, values out. No Django, no I/O, no clock, no randomness; the standard library only.
"""
