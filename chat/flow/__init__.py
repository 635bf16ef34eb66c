"""The flow of a turn and of the work behind it. Only here do the context, the rows and a model meet."""
