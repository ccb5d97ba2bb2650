"""`plot_graph`: populations and the projections between them, as a picture."""

import numpy as np

from .plotting import COLOURS, drawn_picture, pyplot

GAP = 0.02  # between a circle and the head of an arrow
MOST_LABELS = 24  # synapse counts that are written at arrows


def plot_graph(net, *, path: str | None = None):
    """Draw the populations of a network on a circle, and an arrow for every projection, the thicker the more synapses it has; one that
    inhibits ends in a bar.

    Args:
      net: the network.
      path: where to save the picture; the ending is the file type.

    Returns:
      The matplotlib figure (closed already if it was saved).
    """
    from matplotlib.patches import Circle  # slow to import

    plt = pyplot()
    figure, ax = plt.subplots(figsize=(6.5, 6), layout="constrained")
    with drawn_picture(plt, figure, path, True):
        places = _places(len(net.populations))
        at = {id(population): place for population, place in zip(net.populations, places)}
        radius = min(0.24, 0.75 * np.sin(np.pi / max(len(places), 3)))
        seen: dict[tuple, int] = {}
        for projection in net.projections:
            ends = id(projection.pre.population), id(projection.post.population)
            seen[ends] = seen.get(ends, -1) + 1
            _arrow(ax, projection, at[ends[0]], at[ends[1]], radius, seen[ends], labelled=len(net.projections) <= MOST_LABELS)
        for population, (x, y) in zip(net.populations, places):
            ax.add_patch(Circle((x, y), radius, facecolor="white", edgecolor="0.2", lw=1.3, zorder=3))
            text = f"{population.label}\n{type(population).__name__}\n{population.size:,}"
            ax.text(x, y, text, ha="center", va="center", fontsize=9 if radius > 0.2 else 7, zorder=4)
        drives = [f"{drive!r}" for drive in net.drives]
        ax.set_title("\n".join(drives[:4] + ["..."] * (len(drives) > 4)), fontsize="small")
        half = 1.7 if len(places) > 1 else 0.9
        ax.set(xlim=(-half, half), ylim=(-half, half), aspect="equal")
        ax.axis("off")
    return figure


def _places(n: int) -> np.ndarray:
    """Where the populations stand, (n, 2): on a circle, the first at the top."""
    if n == 1:
        return np.zeros((1, 2))
    angles = np.pi / 2 - 2 * np.pi * np.arange(n) / n
    return np.stack([np.cos(angles), np.sin(angles)], 1)


def _arrow(ax, projection, start, stop, radius: float, nth: int, *, labelled: bool):
    """An arrow from one place to another, or back to the same; the nth of its kind, so that parallel ones do not cover each other."""
    n = projection.n_synapses
    inhibits = projection.matrix.mean_size() < 0 or _hyperpolarises(projection)
    style = {
        "lw": 0.4 + 0.2 * np.log10(max(n, 1)),
        "color": COLOURS[1] if inhibits else COLOURS[0],
        "shrinkA": 0,
        "shrinkB": 0,
        "mutation_scale": 11,
    }
    if np.allclose(start, stop):
        out = start / np.linalg.norm(start) if np.linalg.norm(start) > 0 else np.array([0.0, 1.0])
        side = np.array([-out[1], out[0]])
        wide = (0.5 + 0.25 * nth) * side
        turns = _unit(out + wide), _unit(out - wide)
        tail, head = start + radius * turns[0], start + (radius + GAP) * turns[1]
        rad = -1.6 - 1.3 * nth
        bend, label = f"arc3,rad={rad}", (tail + head) / 2 - out * np.linalg.norm(head - tail) * rad / 2
    else:
        along = (stop - start) / np.linalg.norm(stop - start)
        side = np.array([-along[1], along[0]])
        tail, head = start + radius * _unit(along + 0.35 * side), stop + (radius + GAP) * _unit(-along + 0.35 * side)
        rad = -0.12 - 0.2 * nth
        bend, label = f"arc3,rad={rad}", (tail + head) / 2 - side * np.linalg.norm(head - tail) * rad / 2
    arrow = "-[,widthB=0.5,lengthB=0" if inhibits else "-|>"
    ax.annotate("", head, tail, arrowprops={"arrowstyle": arrow, "connectionstyle": bend, **style}, zorder=2)
    if labelled:
        whose = "" if projection.pre.whole else f"{projection.pre.label}: "
        box = {"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.9}
        ax.text(*label, f"{whose}{_short(n)}", fontsize=7, color=style["color"], ha="center", va="center", zorder=5, bbox=box)


def _hyperpolarises(projection) -> bool:
    """Whether a spike moves V down at rest; False where that is not known."""
    psp = projection.psp()
    return psp is not None and psp < 0


def _unit(vector):
    return vector / np.linalg.norm(vector)


def _short(n: int) -> str:
    """A count for people: 1.2 M."""
    for size, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if n >= size:
            return f"{n / size:.3g} {letter}"
    return str(n)
