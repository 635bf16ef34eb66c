"""The stored conversation, read and changed consistently. Every function here is synchronous and, where it writes,
one transaction; async code reaches them through `database.Database.run`.

Lock order: session, turns, summaries, jobs.
"""
