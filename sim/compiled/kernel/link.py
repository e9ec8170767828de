"""Links shared by uploads, max-min fair."""

from sim.compiled.jit import kernel
from sim.compiled.kernel.constants import NONE, OWN, UPLOADED, UPLOADING
from sim.compiled.kernel.events import cancel, fire_now, handle_of, set_timer
from sim.compiled.kernel.level import advance, set_queue
from sim.compiled.kernel.places import channel_of, flow_of, level_of, link_of, thread_of
from sim.compiled.kernel.queues import insert, remove
from sim.compiled.structs import Flow, Link, Thread, World

INFINITE = float("inf")


@kernel
def send(w: World, number: int, thread: Thread) -> None:
    """Begin an upload; the thread goes on when the last bit is through."""
    link = link_of(w, number)
    thread.state = UPLOADING
    thread.station = link.first_flow + channel_of(w, thread.channel).rank
    flow = flow_of(w, thread.station)
    _advance(w, link)
    link.count += 1
    thread.order, thread.value = link.count, flow.sent + thread.bits_up
    flow.root = insert(w, flow.root, thread)
    flow.n += 1
    level_of(w, link.level).arrivals += 1
    _share_out(w, link)


@kernel
def withdraw(w: World, thread: Thread) -> None:
    """Break off an upload that is not through."""
    if thread.state == UPLOADED:
        return
    flow = flow_of(w, thread.station)
    link = link_of(w, flow.link)
    _advance(w, link)
    flow.root = remove(w, flow.root, thread)
    flow.n -= 1
    level_of(w, link.level).departures += 1
    _share_out(w, link)


@kernel
def set_slowness(w: World, link: Link, factor: float) -> None:
    """Divide the bandwidth by a factor."""
    _advance(w, link)
    link.bandwidth = level_of(w, link.level).capacity = link.nominal / factor
    _share_out(w, link)


@kernel
def finish(w: World, link: Link) -> None:
    """End the uploads that are through."""
    _advance(w, link)
    nearest, soonest = NONE, INFINITE
    for number in range(link.first_flow, link.first_flow + link.n_flows):
        flow = flow_of(w, number)
        if flow.n:
            rest_s = (thread_of(w, flow.root).value - flow.sent) / flow.rate
            if nearest == NONE or rest_s < soonest:
                nearest, soonest = number, rest_s
    first = flow_of(w, nearest)
    first.sent = max(first.sent, thread_of(w, first.root).value)
    for number in range(link.first_flow, link.first_flow + link.n_flows):
        _end_uploads(w, link, flow_of(w, number))
    _share_out(w, link)


@kernel
def _end_uploads(w: World, link: Link, flow: Flow) -> None:
    while flow.root != NONE:
        thread = thread_of(w, flow.root)
        if thread.value > flow.sent:
            break
        flow.root = remove(w, flow.root, thread)
        flow.n -= 1
        level_of(w, link.level).departures += 1
        thread.state = UPLOADED
        fire_now(w, handle_of(w, thread, OWN))


@kernel
def _advance(w: World, link: Link) -> None:
    """Bring what every class of uploads has sent up to now."""
    advance(w, level_of(w, link.level))
    elapsed = w.now - link.since
    link.since = w.now
    for number in range(link.first_flow, link.first_flow + link.n_flows):
        flow = flow_of(w, number)
        flow.sent = flow.sent + flow.rate * elapsed if flow.n else 0.0


@kernel
def _share_out(w: World, link: Link) -> None:
    """Fill progressively, slowest clients first; then wait for the next end."""
    uploads = 0
    for number in range(link.first_flow, link.first_flow + link.n_flows):
        uploads += flow_of(w, number).n
    left, n_left, used, soonest = link.bandwidth, uploads, 0.0, INFINITE
    for number in range(link.first_flow, link.first_flow + link.n_flows):
        flow = flow_of(w, number)
        if flow.n:
            flow.rate = min(flow.cap, left / n_left)
            left -= flow.rate * flow.n
            used += flow.rate * flow.n
            n_left -= flow.n
            rest = max(0.0, thread_of(w, flow.root).value - flow.sent)
            soonest = min(soonest, rest / flow.rate)
    level = level_of(w, link.level)
    level.busy = used
    set_queue(level, float(uploads))
    if uploads:
        set_timer(w, link.timer, soonest)
    else:
        cancel(w, link.timer)
