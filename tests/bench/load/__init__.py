"""What the load benchmarks are made of: an upstream, a plain relay, clients, our site, and the machine's counters."""
