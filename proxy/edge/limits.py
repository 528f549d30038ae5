"""Every limit of the data-plane edge in one frozen value, so that a test can set fractions of a second."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class EdgeLimits:
    """Sizes in bytes, times in seconds. Each holds for one process; `connections` needs twice as many file descriptors."""

    head_bytes: int = 32 * KIB
    header_count: int = 100
    value_bytes: int = 16 * KIB  # of one header; a token is the longest
    body_bytes: int = 16 * MIB + 64 * KIB  # BatchWriteItem's 16 MB and its JSON
    bodies_in_memory: int = 512 * MIB
    connections: int = 1000
    first_byte_seconds: float = 10  # a fresh connection that says nothing, its TLS handshake apart
    head_seconds: float = 10  # from the first byte of a head
    body_seconds: float = 30  # from the moment that the body is asked for
    idle_seconds: float = 75  # between two requests
    write_seconds: float = 30  # for a caller that does not read its answer
    linger_seconds: float = 2  # how long a closed conversation may still send, so that it can read our last answer

    @property
    def sweep_seconds(self) -> float:
        """How often deadlines are looked at: a quarter of the shortest, at most once a second."""
        times = (
            self.first_byte_seconds,
            self.head_seconds,
            self.body_seconds,
            self.idle_seconds,
            self.write_seconds,
            self.linger_seconds,
        )
        return min(1.0, min(times) / 4)
