"""What can be wrong with demand beyond what a scenario's own checks see."""


class DemandError(Exception):
    """Demand that cannot be drawn: a journey without end, more requests than fit in memory."""
