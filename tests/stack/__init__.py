"""Real components for the tests: each on a loopback port of its own, waited for, and stopped with its process group."""
