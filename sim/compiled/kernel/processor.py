"""Processor cores, shared among the requests on them or given out in turn."""

from sim.compiled.jit import inlined, kernel
from sim.compiled.kernel.constants import COMPUTED, COMPUTING, NONE, OWN
from sim.compiled.kernel.events import cancel, fire_now, handle_of, set_timer, stands
from sim.compiled.kernel.level import advance, join, leave, set_queue
from sim.compiled.kernel.places import level_of, processor_of, thread_of
from sim.compiled.kernel.queues import append, insert, remove, take_out
from sim.compiled.structs import Processor, Thread, World

WAITING = 0
"""Order of a piece that has not started."""


@kernel
def occupancy(w: World, processor: Processor) -> int:
    """Return the pieces of work present, waiting ones included."""
    if processor.shares:
        return processor.n
    return processor.n + int(level_of(w, processor.level).queue)


@inlined
def compute(w: World, number: int, thread: Thread, work_s: float) -> None:
    """Bring a piece of work; the thread goes on when it is done."""
    processor = processor_of(w, number)
    level = level_of(w, processor.level)
    thread.state, thread.station, thread.since = COMPUTING, number, w.now
    advance(w, level)
    level.arrivals += 1
    if processor.shares or processor.n < processor.cores:
        _attain(w, processor)
        _start(w, processor, thread, work_s)
        _schedule(w, processor)
    else:
        thread.order, thread.value = WAITING, work_s
        append(w, processor, thread)
        join(w, level)


@kernel
def withdraw(w: World, thread: Thread) -> None:
    """Take away a piece of work that is not done."""
    if thread.state == COMPUTED:
        return
    processor = processor_of(w, thread.station)
    level = level_of(w, processor.level)
    advance(w, level)
    level.departures += 1
    if thread.order == WAITING:
        leave(w, level, thread.since)
        take_out(w, processor, thread)
        return
    _attain(w, processor)
    processor.n -= 1
    processor.root = remove(w, processor.root, thread)
    _fill(w, processor)
    _schedule(w, processor)


@kernel
def set_speed(w: World, processor: Processor, speed: float) -> None:
    """Change how fast the cores are."""
    advance(w, level_of(w, processor.level))
    _attain(w, processor)
    processor.speed = speed
    _show(w, processor)
    _schedule(w, processor)


@kernel
def set_cores(w: World, processor: Processor, cores: float) -> None:
    """Change the number of cores."""
    level = level_of(w, processor.level)
    advance(w, level)
    _attain(w, processor)
    processor.cores = level.capacity = cores
    _fill(w, processor)
    _schedule(w, processor)


@kernel
def retire(w: World, processor: Processor) -> None:
    """Count no capacity any more."""
    level = level_of(w, processor.level)
    advance(w, level)
    level.capacity = 0.0


@inlined
def finish(w: World, processor: Processor) -> None:
    """End the piece whose time has come, and those that end with it."""
    level = level_of(w, processor.level)
    advance(w, level)
    processor.since = w.now
    processor.attained = thread_of(w, processor.root).value
    while processor.root != NONE:
        thread = thread_of(w, processor.root)
        if thread.value > processor.attained:
            break
        processor.root = remove(w, processor.root, thread)
        processor.n -= 1
        level.departures += 1
        thread.state = COMPUTED
        fire_now(w, handle_of(w, thread, OWN))
    _fill(w, processor)
    _schedule(w, processor)


@kernel
def _attain(w: World, processor: Processor) -> None:
    """Bring the attained work up to now."""
    if processor.n:
        processor.attained += (w.now - processor.since) * processor.rate
    else:
        processor.attained = 0.0
    processor.since = w.now


@inlined
def _start(w: World, processor: Processor, thread: Thread, work_s: float) -> None:
    processor.n += 1
    processor.count += 1
    thread.order, thread.value = processor.count, processor.attained + work_s
    processor.root = insert(w, processor.root, thread)
    _show(w, processor)


@kernel
def _show(w: World, processor: Processor) -> None:
    """Show how fast each piece in service attains work, and the level: cores in use, and under
    processor sharing the work beyond them.
    """
    level = level_of(w, processor.level)
    if processor.n <= processor.cores:
        processor.rate, level.busy = processor.speed, float(processor.n)
        queue = 0.0
    else:
        processor.rate = processor.speed * processor.cores / processor.n
        level.busy = processor.cores
        queue = processor.n - processor.cores
    if processor.shares:
        set_queue(level, queue)


@inlined
def _fill(w: World, processor: Processor) -> None:
    """Start waiting work on free cores."""
    while processor.head != NONE and processor.n < processor.cores:
        thread = thread_of(w, processor.head)
        leave(w, level_of(w, processor.level), thread.since)
        take_out(w, processor, thread)
        _start(w, processor, thread, thread.value)
    _show(w, processor)


@inlined
def _schedule(w: World, processor: Processor) -> None:
    """Set the timer for the piece that ends first, unless it stands already."""
    rate = processor.rate
    if processor.root == NONE or rate <= 0.0:
        cancel(w, processor.timer)
        return
    value = thread_of(w, processor.root).value
    is_same = value == processor.timer_value and rate == processor.timer_rate
    if not (is_same and stands(w, processor.timer)):
        processor.timer_value, processor.timer_rate = value, rate
        set_timer(w, processor.timer, max(0.0, value - processor.attained) / rate)
