"""Conversations that come and go as files: read from other products, kept and shown in a form of our own.

`reading.read` takes a file apart, `storing.store` keeps a conversation, `dumping.dump` and `markdown.render` give
one out.
"""
