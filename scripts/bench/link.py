"""A storage's latency and bandwidth, shared by all that is loaded from it."""


class Link:
    """Tells when what is asked for arrives: after what was asked for before, and never sooner than the latency."""

    def __init__(self, latency: float, bandwidth: float) -> None:
        """Describe the storage.

        Args:
            latency: seconds from request to arrival, however many requests are in flight.
            bandwidth: bytes per second, of all requests together.
        """
        self._latency = latency
        self._bandwidth = bandwidth
        self._free = 0.0

    def arrival(self, size: int, now: float) -> float:
        """Return when a request that is made now has arrived.

        Args:
            size: bytes.
            now: seconds on the clock of the result.
        """
        self._free = max(self._free, now) + size / self._bandwidth
        return max(now + self._latency, self._free)

    def arrival_in_waves(self, size: int, now: float, wave: int) -> float:
        """Return when a stretch has arrived of which so much is asked for at a time.

        Args:
            size: bytes in all.
            now: seconds on the clock of the result.
            wave: bytes that are asked for at once, and again once they have arrived.
        """
        for start in range(0, size, wave):
            now = self.arrival(min(wave, size - start), now)
        return now
