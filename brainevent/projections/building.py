"""Putting a network together: its populations, their names, keyed random generators, and a look at what was built."""

import zlib
from collections.abc import Iterable
from typing import Any, NamedTuple

import brainunit as u
import numpy as np

from .. import Connectivity, Dense
from ..core.updates import Delays, DrawnDelays
from ..formats.jit_connectivity import JITConnectivity
from .guards import warn
from .inputs import PoissonInput
from .population import Population
from .projection import Projection

MOST_CONDUCTANCE = 100  # of one spike, relative to the membrane: a strong synapse is at 1


def populations_of(parts) -> list[Population]:
    """Every population once, named: first those that are parts themselves, then those that others join, in the order of appearance."""
    for part in parts:
        if not isinstance(part, (Projection, PoissonInput, Population)):
            raise TypeError(f"Network takes projections, Poisson inputs and populations, one by one (Network(*parts)), got {part!r}")
    joined = [getattr(part, end).population for part in parts for end in ("pre", "post") if hasattr(part, end)]
    signals = [part.plasticity.signal for part in parts if isinstance(part, Projection) and part.plasticity is not None]
    joined += [signal.population for signal in signals if signal is not None]
    found = list({id(p): p for p in (*(part for part in parts if isinstance(part, Population)), *joined)}.values())
    _name(found)
    return found


def _name(populations: list[Population]):
    """Give the unnamed ones the name of their model, and a number if that is taken."""
    taken = [population.label for population in populations if population.label]
    for name in taken:
        if taken.count(name) > 1:
            raise ValueError(f"{taken.count(name)} populations are named {name!r}: give each a name of its own")
    for population in populations:
        if not population.label:
            kind = type(population).__name__
            population.label = next(label for i in range(len(taken) + 1) if (label := f"{kind}{i or ''}") not in taken)
            taken.append(population.label)


def check_new(projections: list[Projection]):
    """A projection belongs to one network, once."""
    for index, projection in enumerate(projections):
        if projection.network is not None or any(projection is other for other in projections[:index]):
            where = "in another network already" if projection.network is not None else "given twice"
            raise ValueError(f"{projection.name} is {where}: make a new Projection")


def take_over(populations: list[Population], network):
    """Make the populations those of a new network, which draws their states anew; the networks they were in run no more."""
    for population in populations:
        before = population.network
        if before is not None and before is not network and before.first_step:
            warn(
                f"population {population.label} was in a network that has run {before.first_step} steps: it starts anew in this one, and "
                "that one cannot run any more: make a population for each network",
            )
        population.network = network


def check_own(populations: list[Population], network):
    """Raise if another network has taken one of the populations."""
    for population in populations:
        if population.network is not network:
            raise ValueError(
                f"population {population.label} is in another network now, which drew its states anew: build this network again, "
                "with populations of its own"
            )


def numbered(words: Iterable[str]):
    """`(word, "0")`, `(word, "1")`, ... where a word comes again."""
    seen: dict[str, int] = {}
    for word in words:
        seen[word] = seen.get(word, -1) + 1
        yield word, str(seen[word])


def generator(seed: int, *words: str) -> np.random.Generator:
    """A random generator keyed by the seed and by words, so that what is drawn does not depend on the order of drawing."""
    return np.random.default_rng([seed, *(zlib.crc32(word.encode()) for word in words)])


class Delivery(NamedTuple):
    """What a delivery takes of a projection: the matrix of plain weights; the same by target, where gathering may pay; delays, one each;
    the operands of its plasticity, once dt is known.
    """

    matrix: Connectivity
    mirror: Connectivity | None
    delays: Delays | DrawnDelays | None
    plastic: Any


def delivery_of(projection: Projection, dt: float | None) -> Delivery:
    """The matrix of a projection as a network holds it."""
    matrix = projection.held.replace(data=u.get_mantissa(projection.held.data))
    mirror = None if projection.each_delayed or projection.by_synapse else matrix.by_target(projection.path)
    plasticity = projection.plasticity
    plastic = None if plasticity is None or dt is None else plasticity.operands(projection, dt)
    return Delivery(matrix, mirror, projection.delays, plastic)


def warn_of_no_synapses(projection: Projection):
    """Warn of a projection through which nothing can come."""
    if not isinstance(projection.held, (Dense, JITConnectivity)) and not projection.n_stored:
        made = projection.rule or projection.matrix
        warn(f"{projection.name} has no synapses: {made!r} joins none of {projection.pre.size:,} and {projection.post.size:,} neurons")


def warn_of_silence(projections: list[Projection], drives: list[PoissonInput], driven: list[Population]):
    """Warn of populations that nothing can reach from where spikes or currents come from.

    Args:
      driven: those that an input of the run goes to.
    """
    found = list({id(end.population): end.population for p in projections for end in (p.pre, p.post)}.values())
    moving = [end.population for p in projections if p.synapse.continuous for end in (p.pre, p.post)]
    sources = *driven, *moving, *(drive.post.population for drive in drives), *(p for p in found if not p.rests())
    reached = {id(population) for population in sources}
    while more := {id(p.post.population) for p in projections if id(p.pre.population) in reached} - reached:
        reached |= more
    silent = [population.label for population in found if id(population) not in reached]
    if silent:
        warn(
            f"never driven: {', '.join(silent)}: V_rest and V are below V_th, this run has no input there, and nothing that projects there "
            "can spike: give a current by run(inputs=...), a PoissonInput, or a projection from a source"
        )


def warn_of_odd_strength(projection: Projection):
    """Warn of a spike that does next to nothing or far too much: mostly a slip in the units."""
    weight = projection.mean_weight()
    odd = _odd_conductance(projection, weight) or _odd_deflection(projection, weight)
    if odd:
        warn(f"{projection.name}: one spike {odd}: check the units of weight and R")


def _odd_conductance(projection: Projection, weight: float) -> str:
    """What to say if a spike opens a hundred times the conductance of the membrane, so that its effect on V saturates."""
    relative = projection.post.population.relative_conductance(projection.synapse, weight)
    return f"opens {relative:.3g} times the conductance of the membrane (R times the weight)" if relative > MOST_CONDUCTANCE else ""


def _odd_deflection(projection: Projection, weight: float) -> str:
    """What to say if a spike moves V by less than 1e-4 or more than 10 times the distance to threshold."""
    population = projection.post.population
    psp = population.peak_deflection(projection.synapse, weight)
    if not psp:
        return ""
    distance = float(np.mean(np.asarray(population.own["V_th"]) - np.asarray(population.own["V_rest"])))
    relative = abs(psp) / abs(distance)
    if 1e-4 <= relative <= 10:
        return ""
    return f"moves V by {psp:.3g} mV, {relative:.2g} of the distance from rest to threshold ({distance:.3g} mV)"
