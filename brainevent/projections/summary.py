"""The text of `Network.summary()`."""

from ..core import path_choice


def _table(rows: list[tuple]) -> list[str]:
    """Rows of text in aligned columns, the first row as the head."""
    widths = [max(len(str(row[i])) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(str(cell).ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    return [lines[0], "-" * len(lines[0]), *lines[1:]]


def _size(n: float) -> str:
    """Bytes for people: 1.3 MB."""
    for unit in ("B", "kB", "MB"):
        if n < 1000:
            return f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:.3g} GB"


def _memory(net, projection) -> str:
    """What the synapses take; where none is stored, what they would."""
    size, stored = _size(net.nbytes(projection)), projection.matrix.stored_nbytes(projection.n_synapses)
    return size if net.nbytes(projection) or not stored else f"{size} (stored: {_size(stored)})"


def _psp(projection) -> str:
    psp = projection.psp()
    return "-" if psp is None else f"{psp:.3g} mV"


def summary(net) -> str:
    """Populations, the schedule, and the projections of a network, as text."""
    populations: list[tuple] = [("population", "model", "size", "states")]
    populations += [(p.label, type(p).__name__, p.size, " ".join(p.state_units)) for p in net.populations]
    projections: list[tuple] = [("projection", "synapses", "format", "memory", "delay", "one PSP", "path")]
    for projection in net.projections:
        counts = path_choice.describe_counts(projection.path, projection.path_counts)
        kind = type(projection.matrix).__name__
        projections.append(
            (
                projection.name,
                f"{projection.n_synapses:,}",
                kind,
                _memory(net, projection),
                projection.delay_text(),
                _psp(projection),
                counts,
            )
        )
    synapses: list[tuple] = [("synapse", "onto", "shared by")]
    for index, (population, synapse) in enumerate(net.schedule.synapses):
        users = [part for part in (*net.projections, *net.drives) if net.schedule.synapse_of(part) == index]
        synapses.append((str(synapse), population.label, len(users)))
    total = sum(p.n_synapses for p in net.projections)
    neurons = sum(p.size for p in net.populations)
    step = "set by run" if net.dt is None else f"{net.dt}"
    lines = [f"Network: {neurons:,} neurons, {total:,} synapses, seed {net.seed}, dt {step}", ""]
    lines += [*_table(populations), ""]
    if net.projections:
        lines += [*_table(projections), ""]
    if len(synapses) > 1:
        lines += [*_table(synapses), ""]
    for projection in net.projections:
        if projection.plasticity is not None and projection.synapse.transmission() is None:
            what = "its weights learn, one a synapse" if projection.learns else "what a spike releases"
            lines.append(f"{projection.name}: {projection.plasticity!r} ({what})")
    for drive in net.drives:
        lines.append(f"{drive!r} through {drive.synapse!r}, {drive.weight:.4g} {drive.synapse.unit} a spike")
    order = ["integrate " + ", ".join(p.label for p in net.populations)]
    order += ["decay synapses", "threshold", "deliver " + (", ".join(p.name for p in net.projections) or "nothing"), "reset", "record"]
    lines.append("each step: " + " > ".join(order))
    lines += filter(None, [net.loop_words()])
    return "\n".join(lines)
