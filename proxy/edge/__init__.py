"""How do bytes get in? The limits, the strict gate, the connections and TLS of the data plane."""
