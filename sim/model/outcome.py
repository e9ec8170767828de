"""How a request ends, as small integers: indices into ``sim.results.OUTCOMES``."""

from sim.results import OUTCOMES

Outcome = int

OK, REJECTED, TIMED_OUT, FAILED, ABANDONED = range(len(OUTCOMES))
