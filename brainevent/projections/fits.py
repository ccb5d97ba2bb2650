"""Which parts of a projection go together: its synapse, delay, plasticity, format and path."""

from ..formats.compressed import Compressed
from ..formats.jit_connectivity import JITConnectivity
from .delays import Delay
from .parameters import describe
from .plasticity.base import Plasticity


def check_delay(projection, delay: Delay):
    """Raise if synapses are to have delays of their own where these have no place, or any where nothing is under way."""
    if projection.synapse.continuous and (not delay.one or delay.times):
        raise ValueError(f"{projection.name}: {projection.synapse!r} acts without spikes, and has no delay: leave it out")
    word = projection.rule.format if projection.rule is not None else "jit" if isinstance(projection._matrix, JITConnectivity) else "auto"
    if delay.each and projection.path == "dense":
        raise ValueError(f'{delay.what} is one a synapse, which path="dense" cannot deliver: use path="event" or "auto"')
    if delay.drawn and word == "jit" and getattr(projection._matrix, "major", 0):
        raise ValueError(
            f"{delay.what} is drawn for each synapse, but the lines of {projection._matrix!r} are its columns: take an R format"
        )
    if delay.each and word not in ("auto", "csr", "fixed", "jit"):
        raise ValueError(f'{delay.what} is one a synapse, which format="{word}" cannot hold: use format="csr", or one a pre neuron')


def check_running(projection, delay: Delay):
    """Raise if a delay that is set in a network that has run would make plasticity keep its states in another manner."""
    plasticity = projection.plasticity
    if plasticity is None or delay.each == projection.each_delayed or not (plasticity.learns or plasticity.merges):
        return
    here, there = ("one a synapse", "one, or one a pre neuron")[:: 1 if projection.each_delayed else -1]
    raise ValueError(
        f"{delay.what} is {there}, but was {here} until now, and what {type(plasticity).__name__} knows of past spikes is kept by that: "
        "call net.reset() first"
    )


def check_continuous(projection):
    """Raise if synapses that act without spikes are to have what only spikes have, or a neuron without V at an end."""
    if not projection.synapse.continuous:
        return
    if projection.plasticity is not None:
        raise ValueError(f"{projection.name}: {projection.synapse!r} acts without spikes, and has no plasticity: leave it out")
    if projection.path == "event":
        raise ValueError(f'{projection.name}: {projection.synapse!r} acts without spikes, so there is no path="event": use path="auto"')
    for view in (projection.pre, projection.post):
        if "V" not in view.population.state_units:
            raise TypeError(f"{projection.name}: {projection.synapse!r} joins two voltages, and {view.population!r} has no V")


def check_weight_dtype(projection):
    """Raise if weights are to be stored in a precision of their own where none are stored by line, or where they learn."""
    if projection.weight_dtype is None:
        return
    what = f"{projection.name}: weight_dtype is {projection.weight_dtype!r}"
    word = projection.rule.format if projection.rule is not None else "auto"
    if word in ("dense", "coo", "jit") or not isinstance(projection._matrix, (Compressed, type(None))):
        held = f'format="{word}"' if projection._matrix is None else f"{projection._matrix!r}"
        raise ValueError(f'{what}, which {held} has no place for: use a rule with format="csr", or leave it out')
    if projection.plasticity is not None and projection.plasticity.learns:
        raise ValueError(f"{what}, but {projection.plasticity!r} changes weights by less than that could hold: leave it out")
    if projection.synapse.continuous:
        raise ValueError(f"{what}, but {projection.synapse!r} acts without spikes, through whole products: leave it out")


def check_plasticity(projection):
    """Raise unless the plasticity is one, and goes with the synapse, the format and the path."""
    plasticity, what = projection.plasticity, f"{projection.name}: plasticity"
    if plasticity is None:
        return
    if not isinstance(plasticity, Plasticity):
        hint = ": write PairSTDP(), with brackets" if isinstance(plasticity, type) else ", as TsodyksMarkram() or PairSTDP()"
        raise TypeError(f"{what} is {describe(plasticity)}, expected plasticity{hint}")
    drawn = isinstance(projection._matrix, JITConnectivity) or (projection.rule is not None and projection.rule.format == "jit")
    if plasticity.learns and drawn:
        raise ValueError(f'{what} changes weights, but those of format="jit" are drawn anew whenever a neuron spikes: use format="csr"')
    if plasticity.learns and projection.path == "dense":
        raise ValueError(f'{what} changes weights, which path="dense" would have twice: use path="event" or "auto"')
    if projection.synapse.transmission() is not None:
        raise ValueError(
            f"{projection.name}: {projection.synapse!r} says itself what a spike delivers, and takes no plasticity: use Expon or DualExpon"
        )
    plasticity.check(projection)
