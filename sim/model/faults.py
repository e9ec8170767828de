"""Faults: each strikes at its time and is mended at its time."""

from collections.abc import Callable, Sequence

from simpy import Event

from sim.model.portal import PortalModel
from sim.scenario.run import Fault

Action = Callable[[], None]


def schedule_faults(portal: PortalModel, faults: Sequence[Fault]) -> None:
    """Schedule all that breaks and is mended, before anything else is.

    So at its moment it comes before all other events; what is mended, before what breaks. What is
    broken from the start is so before anything starts.
    """
    moments: list[tuple[float, bool, int, Action]] = []
    for index, fault in enumerate(faults):
        strike, mend = _actions(portal, fault)
        moments.append((fault.from_s, True, index, strike))
        moments.append((fault.to_s, False, index, mend))
    for at_s, _, _, act in sorted(moments, key=lambda moment: moment[:3]):
        if at_s <= 0.0:
            act()
        else:
            portal.env.timeout(at_s).callbacks.append(_calling(act))


def _calling(act: Action) -> Callable[[Event], None]:
    return lambda _: act()


def _actions(portal: PortalModel, fault: Fault) -> tuple[Action, Action]:
    """Return what a fault does when it strikes and when it is mended."""
    name, factor, servers = fault.target, fault.factor or 1.0, fault.servers or 0
    if fault.kind == "server_lost":
        tier = portal.tiers[name]
        struck: list[int] = []
        return lambda: struck.extend(tier.lose(servers)), lambda: tier.restore(struck)
    if fault.kind == "tier_slow":
        tier = portal.tiers[name]
        return lambda: tier.set_slowness(factor), lambda: tier.set_slowness(1.0)
    if fault.kind == "link_slow":
        link = portal.links[name]
        return lambda: link.set_slowness(factor), lambda: link.set_slowness(1.0)
    if fault.kind == "job_stopped":
        job = portal.jobs[name]
        return _switch(job, "is_stopped", False, True)
    gateway = portal.gateways[name]
    if fault.kind == "gateway_down":
        return _switch(gateway, "is_down", False, True)
    if fault.kind == "gateway_slow":
        return _switch(gateway, "slowness", 1.0, factor)
    return _switch(gateway, "silent_until", 0.0, fault.to_s)


def _switch(part: object, attribute: str, normal: float, broken: float) -> tuple[Action, Action]:
    return (
        lambda: setattr(part, attribute, broken),
        lambda: setattr(part, attribute, normal),
    )
