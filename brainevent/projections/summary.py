"""The text of `Network.summary()`, and the same for notebooks."""

import html

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


def _populations(net) -> list[tuple]:
    rows = [(p.label, type(p).__name__, p.size, " ".join(p.state_units)) for p in net.populations]
    return [("population", "model", "size", "states"), *rows]


def _projections(net) -> list[tuple]:
    rows: list[tuple] = [("projection", "synapses", "format", "memory", "delay", "one PSP", "path")]
    for p in net.projections:
        counts = path_choice.describe_counts(p.path, p.path_counts)
        rows.append((p.name, f"{p.n_synapses:,}", type(p.matrix).__name__, _memory(net, p), p.delay_text(), _psp(p), counts))
    return rows


def _synapses(net) -> list[tuple]:
    rows: list[tuple] = [("synapse", "onto", "shared by")]
    for index, (population, synapse) in enumerate(net.schedule.synapses):
        users = [part for part in (*net.projections, *net.drives) if net.schedule.synapse_of(part) == index]
        rows.append((str(synapse), population.label, len(users)))
    return rows


def headline(net) -> str:
    """What a network is, in one line."""
    total, neurons = sum(p.n_synapses for p in net.projections), sum(p.size for p in net.populations)
    return f"{neurons:,} neurons, {total:,} synapses, seed {net.seed}, dt {'set by run' if net.dt is None else net.dt}"


def _notes(net) -> list[str]:
    """What is plastic, what drives, the order of a step, and how steps follow each other."""
    lines = []
    for projection in net.projections:
        if projection.plasticity is not None and projection.synapse.transmission() is None:
            what = "its weights learn, one a synapse" if projection.learns else "what a spike releases"
            lines.append(f"{projection.name}: {projection.plasticity!r} ({what})")
    for drive in net.drives:
        lines.append(f"{drive!r} through {drive.synapse!r}, {drive.weight:.4g} {drive.synapse.unit} a spike")
    order = ["integrate " + ", ".join(p.label for p in net.populations)]
    order += ["decay synapses", "threshold", "deliver " + (", ".join(p.name for p in net.projections) or "nothing"), "reset", "record"]
    return [*lines, "each step: " + " > ".join(order), *filter(None, [net.loop_words()])]


def _tables(net) -> list[list[tuple]]:
    return [rows for rows in (_populations(net), _projections(net), _synapses(net)) if len(rows) > 1]


def summary(net) -> str:
    """Populations, the schedule, and the projections of a network, as text."""
    tables = [line for rows in _tables(net) for line in (*_table(rows), "")]
    return "\n".join([f"Network: {headline(net)}", "", *tables, *_notes(net)])


def summary_html(net) -> str:
    """The same for a notebook."""

    def row(cells, tag):
        return "<tr>" + "".join(f'<{tag} style="text-align: left">{html.escape(str(cell))}</{tag}>' for cell in cells) + "</tr>"

    tables = [f"<table>{row(rows[0], 'th')}{''.join(row(cells, 'td') for cells in rows[1:])}</table>" for rows in _tables(net)]
    notes = [f"<div>{html.escape(line)}</div>" for line in _notes(net)]
    return "".join([f"<div><b>Network: {html.escape(headline(net))}</b></div>", *tables, *notes])
