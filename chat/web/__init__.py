"""Pages and sockets: what a browser talks to. Nothing here runs a turn."""
