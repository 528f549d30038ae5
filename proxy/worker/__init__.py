"""The other side of the wire. Depends on nothing of the gateway and on no third-party package."""
