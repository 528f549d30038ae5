"""Attacks on a real gateway: a corpus of requests as data, the parts around the gateway as stubs, one verdict for each case."""
