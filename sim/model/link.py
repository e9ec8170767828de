"""A link shared by uploads, max-min fair, each upload at most at its client's own rate."""

from heapq import heappop, heappush

from simpy import Environment, Event

from sim.model.level import Level


class Upload(Event):
    """An upload under way; succeeds when the last bit is through."""

    def __init__(self, env: Environment) -> None:
        super().__init__(env)
        self.dropped = False


class _Flows:
    """Uploads of clients with one own rate: they all run equally fast."""

    def __init__(self, cap: float) -> None:
        self.cap = cap
        self.rate = 0.0
        self.n = 0
        self.sent = 0.0
        self.running: list[tuple[float, int, Upload]] = []


class Link:
    """Bandwidth given out max-min fair: nobody gets more than he can use, the rest share equally.

    The level's ``busy`` is the bandwidth in use and its ``queue`` the number of uploads under way.

    References
    ----------
    Bertsekas and Gallager (1992), Data Networks, section 6.5.2 (progressive filling).
    """

    def __init__(self, env: Environment, level: Level, bandwidth_bit_per_s: float) -> None:
        self._env = env
        self._level = level
        self._nominal = self._bandwidth = bandwidth_bit_per_s
        self._flows: dict[float, _Flows] = {}
        self._count = 0
        self._since = 0.0
        self._timer: Event | None = None
        level.capacity = bandwidth_bit_per_s

    def send(self, bits: float, cap_bit_per_s: float) -> Upload:
        """Begin an upload; returns the event of its end."""
        self._advance()
        upload = Upload(self._env)
        flows = self._flows.get(cap_bit_per_s)
        if flows is None:
            flows = self._flows[cap_bit_per_s] = _Flows(cap_bit_per_s)
            self._flows = dict(sorted(self._flows.items()))
        self._count += 1
        heappush(flows.running, (flows.sent + bits, self._count, upload))
        flows.n += 1
        self._level.arrivals += 1
        self._share_out()
        return upload

    def withdraw(self, upload: Upload, cap_bit_per_s: float) -> None:
        """Break off an upload that is not through."""
        if upload.triggered:
            return
        self._advance()
        upload.dropped = True
        self._flows[cap_bit_per_s].n -= 1
        self._level.departures += 1
        self._share_out()

    def set_slowness(self, factor: float) -> None:
        """Divide the bandwidth by a factor."""
        self._advance()
        self._bandwidth = self._level.capacity = self._nominal / factor
        self._share_out()

    def _advance(self) -> None:
        """Bring what every class of uploads has sent up to now."""
        now = self._env.now
        self._level.advance(now)
        elapsed = now - self._since
        self._since = now
        for flows in self._flows.values():
            flows.sent = flows.sent + flows.rate * elapsed if flows.n else 0.0

    def _share_out(self) -> None:
        """Fill progressively, slowest clients first; then wait for the next end."""
        left, n_left, used = self._bandwidth, self._uploads(), 0.0
        for flows in self._flows.values():
            if flows.n:
                flows.rate = min(flows.cap, left / n_left)
                left -= flows.rate * flows.n
                used += flows.rate * flows.n
                n_left -= flows.n
        self._level.busy = used
        self._level.set_queue(self._uploads())
        self._schedule()

    def _uploads(self) -> int:
        return sum(flows.n for flows in self._flows.values())

    def _schedule(self) -> None:
        ends = [
            max(0.0, flows.running[0][0] - flows.sent) / flows.rate
            for flows in self._flows.values()
            if self._front(flows)
        ]
        self._timer = None
        if ends:
            self._timer = self._env.timeout(min(ends))
            self._timer.callbacks.append(self._finish)

    @staticmethod
    def _front(flows: _Flows) -> bool:
        """Drop uploads broken off from the front; return whether one is left."""
        while flows.running and flows.running[0][2].dropped:
            heappop(flows.running)
        return bool(flows.running)

    def _finish(self, timer: Event) -> None:
        """End the uploads that are through."""
        if timer is not self._timer:
            return
        self._advance()
        present = [flows for flows in self._flows.values() if self._front(flows)]
        nearest = min(present, key=lambda flows: (flows.running[0][0] - flows.sent) / flows.rate)
        nearest.sent = max(nearest.sent, nearest.running[0][0])
        for flows in present:
            while self._front(flows) and flows.running[0][0] <= flows.sent:
                heappop(flows.running)[2].succeed()
                flows.n -= 1
                self._level.departures += 1
        self._share_out()
