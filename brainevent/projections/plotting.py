"""Pictures: the raster, population rate and traces of a run, and the connectivity of a projection."""

import contextlib

import brainunit as u
import numpy as np

MOST_SPIKES = 8_000  # a raster of more shows every k-th neuron, or it is a grey block
MOST_SYNAPSES = 200_000  # so does a picture of a connectivity
DPI = 130  # of saved pictures
MOST_TRACES = 5  # panels of traces, one a neuron
COLOURS = ("#2166ac", "#c2410c", "#2a8a57", "#4b0f6b", "#c79100", "#d970b0", "#17a2b8", "#222222")  # the first two, E and I, in grey too
LEAST_BAND = 0.04  # of a raster's height: a smaller population is drawn larger than its share, or it could not be seen
LEAST_ROWS = 20  # a population of which fewer neurons would be shown is shown whole
LINE = 0.145  # inches that a line of a label takes, with what keeps it from the next
LONGEST_NAME = 28
HISTOGRAM = 1.6  # inches that a row of histograms takes


def pyplot():
    """matplotlib.pyplot, imported when a picture is drawn."""
    import matplotlib.pyplot  # slow to import, and only needed here

    return matplotlib.pyplot


@contextlib.contextmanager
def drawn_picture(plt, figure, path, ours=True):
    """Save the picture that the block draws. Pyplot keeps what is open: one of ours only if it is complete and was not saved."""
    done = False
    try:
        yield
        if path is not None:
            figure.savefig(path, dpi=DPI)
        done = path is None
    finally:
        if ours and not done:
            plt.close(figure)


def plot_run(run, views, *, labels=None, isi=False, weights=(), path=None):
    """Raster over population rate over traces, sharing the time axis, over histograms; see `Run.plot`."""
    if not views:
        raise ValueError("plot: give at least one population or slice whose spikes were recorded, as run.plot(E, I)")
    names = [view.label for view in views] if labels is None else list(labels)
    if len(names) != len(views):
        raise ValueError(f"plot: {len(names)} labels for {len(views)} populations: give one label each")
    plt = pyplot()
    traces = _traces(run, views)
    labels = _labels(run, views, names)
    tall = LINE * sum(label.count("\n") + 1.3 for label in labels) + 0.3  # what the labels need
    heights = [max(2.9, tall), 1.1 if len(views) < 4 else 1.6] + [0.65] * len(traces)
    n_histograms, n = isi + len(weights), len(heights)
    heights += [HISTOGRAM] * bool(n_histograms)
    figure = plt.figure(figsize=(9, 1.0 + sum(heights)), layout="constrained")
    with drawn_picture(plt, figure, path):
        grid = figure.add_gridspec(len(heights), max(n_histograms, 1), height_ratios=heights)
        axes = [figure.add_subplot(grid[0, :])]
        axes += [figure.add_subplot(grid[row, :], sharex=axes[0]) for row in range(1, n)]
        _raster(axes[0], run, views, labels, heights[0] - 0.15)
        _rates(axes[1], run, views)
        _draw_traces(axes[2:], run, traces)
        for ax in axes[:-1]:
            ax.tick_params(labelbottom=False)
        axes[-1].set_xlabel("time (ms)")
        below = [figure.add_subplot(grid[n, column]) for column in range(n_histograms)]
        if isi:
            _intervals(below[0], run, views)
        for ax, projection in zip(below[isi:], weights):
            _weights(ax, projection)
        for ax in (*axes, *below):
            ax.spines[["top", "right"]].set_visible(False)
        axes[0].set_xlim(run.first_step * run.dt, (run.first_step + max(run.n_steps, 1)) * run.dt)
        figure.align_ylabels(axes)
    return figure


def _labels(run, views, names):
    """What stands beside each population: three lines, or two where there are many."""
    sep = "\n" if len(views) < 4 else ", "
    rates = (run.rate(view).to_decimal(u.Hz) for view in views)
    return [f"{_short(name)}\n{view.size:,} neurons{sep}{rate:.1f} Hz" for name, view, rate in zip(names, views, rates)]


def _short(name):
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


def _raster(ax, run, views, labels, height):
    """A band for each population, from bottom to top, a line for each neuron; every k-th neuron where all would be too many."""
    from matplotlib.ticker import MaxNLocator

    sizes = np.array([view.size for view in views])
    every = max(1, -(-sum(run.spikes(view)[1].size for view in views) // MOST_SPIKES))
    everies = np.where(sizes // every < LEAST_ROWS, 1, every)
    ends = np.concatenate([[0], np.cumsum(_shares(sizes))])
    ms = float(np.clip(400 / max((sizes / everies).sum(), 1), 3, 8))
    for view, k, low, high, colour in zip(views, everies, ends, ends[1:], _colours(views)):
        times, ids = run.spikes(view)
        shown = ids % k == 0
        lines = low + (ids[shown] + 0.5) / view.size * (high - low)
        ax.plot(times.to_decimal(u.ms)[shown], lines, ".", color=colour, ms=ms, mew=0, rasterized=True)
    for end in ends[1:-1]:
        ax.axhline(end, color="0.85", lw=0.5, zorder=0)
    rooms = [LINE * (label.count("\n") + 1.3) / height for label in labels]
    middles = (ends[1:] + ends[:-1]) / 2
    heights = np.array(_apart(middles, rooms))
    moved = np.abs(heights - middles) > 0.02
    for middle, placed, away, label, colour in zip(middles, heights, moved, labels, _colours(views)):
        text = ax.annotate(
            label, (1.0, middle), (1.04 if moved.any() else 1.01, placed), "axes fraction", va="center", color=colour, fontsize="small",
            arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.7, "relpos": (0, 0.5), "shrinkA": 1, "shrinkB": 1},
        )  # fmt: skip
        text.arrow_patch.set_visible(away)
    said = "" if every == 1 else f" (1 in {every} shown)" if (everies == every).all() else f" (1 in {every} shown, of few all)"
    ax.set_ylabel(f"neuron{said}")
    total = sizes.sum()
    ticks = np.array([tick for tick in MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]).tick_values(0, total) if tick <= total])
    ax.set_yticks(np.interp(ticks, np.concatenate([[0], np.cumsum(sizes)]), ends), [f"{tick:.0f}" for tick in ticks])
    ax.set_ylim(0, 1)


def _shares(sizes):
    """The part of the height that each population gets: that of its neurons, but no less than `LEAST_BAND`."""
    least = min(LEAST_BAND, 0.5 / len(sizes))
    small = np.zeros(len(sizes), bool)
    while True:  # what the small ones get more is taken from the others, which may make one of them small
        shares = np.where(small, least, sizes / max(sizes[~small].sum(), 1) * (1 - least * small.sum()))
        if small.all() or not (shares < least - 1e-12).any():
            return shares / shares.sum()
        small |= shares < least - 1e-12


def _apart(middles, rooms):
    """The heights of the labels, in parts of the axis: at the middles, moved where two would overlap or one would leave the axis."""
    placed = list(middles)
    below = 0.0
    for i, room in enumerate(rooms):
        placed[i] = max(placed[i], below + room / 2)
        below = placed[i] + room / 2
    above = max(1.0, sum(rooms))
    for i, room in reversed(list(enumerate(rooms))):
        placed[i] = min(placed[i], above - room / 2)
        above = placed[i] - room / 2
    return placed


def _colours(views):
    return [COLOURS[i % len(COLOURS)] for i in range(len(views))]


def _rates(ax, run, views):
    """Population rates; the start-up transient may leave the axis, and its height is then written down."""
    width = _bin(run)
    top, highest, lowest = 0.0, 0.0, np.inf
    for index, (view, colour) in enumerate(zip(views, _colours(views))):
        times, rates = (quantity.mantissa for quantity in run.population_rate(view, bin=width * u.ms))
        ax.plot(times, rates, lw=0.9, color=colour, zorder=3 - 0.1 * index)
        settled = rates[rates.size // 3 :]
        top, highest, lowest = max(top, settled.max()), max(highest, rates.max()), min(lowest, settled.mean())
    squashed = highest > 2 * top and lowest > 0.005 * highest
    ax.set_ylim(0, 1.15 * (top if squashed else highest) or 1)
    if squashed:
        text = f"first peak {highest:.0f} Hz"
        ax.annotate(text, (0.0, 1.0), xycoords="axes fraction", xytext=(4, -1), textcoords="offset points", va="bottom", fontsize="x-small")
    ax.set_ylabel("rate (Hz)")
    ax.annotate(f"bins of\n{width:g} ms", (1.01, 0.5), xycoords="axes fraction", va="center", color="0.3", fontsize="small")


def _bin(run) -> float:
    """A round bin width (ms), at least 0.5, that is a multiple of dt and leaves 400 bins or a few more."""
    wanted = max(run.n_steps * run.dt / 400, 0.5)
    width = max(step * 10.0**power for power in range(-1, 7) for step in (1, 2, 5) if step * 10.0**power <= wanted)
    return max(1, round(width / run.dt)) * run.dt


def _intervals(ax, run, views):
    """The distribution of the interspike intervals of each population, in bins that hold whole steps and widen with their logarithm."""
    found = [np.asarray(run.isi(view)[0].to_decimal(u.ms)) for view in views]
    every = np.concatenate(found)
    ax.set(xlabel="interspike interval (ms)", ylabel="density (1/ms)")
    if not every.size:
        ax.annotate("no neuron spiked twice", (0.5, 0.5), xycoords="axes fraction", ha="center", va="center", color="0.3", fontsize="small")
        ax.set(xticks=[], yticks=[])
        return
    steps = np.geomspace(every.min() / run.dt, every.max() / run.dt + 1, 41)
    edges = (np.unique(np.rint(np.append(steps, steps[-1] + 1))) - 0.5) * run.dt
    for index, (gaps, colour) in enumerate(zip(found, _colours(views))):
        density = np.histogram(gaps, edges)[0] / np.diff(edges) / max(gaps.size, 1)
        ax.stairs(density, edges, color=colour, lw=1.1, zorder=3 - 0.1 * index)
    ax.set_xscale("log")
    ax.set_ylim(0)


def _weights(ax, projection):
    """How many synapses have a weight of which size."""
    values, unit = np.asarray(u.get_mantissa(projection.weight)), u.get_unit(projection.weight)
    ax.set(xlabel=f"weight ({unit})", ylabel="synapses")
    ax.set_title(_short(projection.name), fontsize="small")
    if values.size:
        counts, edges = np.histogram(values, 40)
        ax.stairs(counts, edges, color="0.3", fill=True, alpha=0.6)


def _traces(run, views):
    """Up to `MOST_TRACES` recorded neurons, shared out evenly: `(name, unit, times, values, colour, spike times)`."""
    states = run.states
    found = []
    for round_ in range(MOST_TRACES):
        for key, values in states.items():
            plain = np.asarray(u.get_mantissa(values))
            if plain.ndim == 2 and round_ < plain.shape[1] and plain.dtype != bool:
                found.append((key, round_, plain[:, round_], u.get_unit(values)))
    found = sorted(found[:MOST_TRACES], key=lambda item: (list(states).index(item[0]), item[1]))
    return [_trace(run, views, *item) for item in found]


def _trace(run, views, key, column, values, unit):
    owner, state = key.rsplit(".", 1)
    population, _, bounds = (owner, "", "") if "->" in owner else owner.partition("[")
    neuron = int(bounds.split(":")[0] or 0 if bounds else 0) + column
    colour, spikes = "0.25", np.zeros(0)
    for view, its_colour in zip(views, _colours(views)):
        if view.population.label == population and view.start <= neuron < view.stop:
            times, ids = run.spikes(view)
            colour, spikes = its_colour, times.to_decimal(u.ms)[ids == neuron - view.start]
    times = run.times_of(key).to_decimal(u.ms)
    return f"{state} of\n{_short(population)}[{neuron}]", unit, times, values, colour, spikes if state == "V" else spikes[:0]


def _draw_traces(axes, run, traces):
    """One panel a neuron, the same scale for the same unit; a spike, which the reset hides in V, is drawn as a line above."""
    for ax, (name, unit, times, values, colour, spikes) in zip(axes, traces):
        alike = [other for _, its_unit, _, other, _, _ in traces if its_unit == unit]
        finite = np.concatenate([other[np.isfinite(other)] for other in alike])
        low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
        span = (high - low) or 1.0
        ax.plot(times, values, lw=0.8, color=colour)
        before = np.searchsorted(times, spikes - run.dt / 2) - 1
        ax.vlines(spikes, values[np.maximum(before, 0)], high + 0.35 * span, lw=0.8, color=colour)
        ax.set_ylim(low - 0.08 * span, high + 0.4 * span)
        ax.locator_params(axis="y", nbins=3)
        ax.set_ylabel("" if unit.is_unitless else f"{unit}")
        ax.annotate(name, (1.01, 0.5), xycoords="axes fraction", va="center", color=colour, fontsize="small")


def plot_matrix(projection, *, path=None, ax=None):
    """Draw which pre neuron connects to which post neuron, coloured by weight.

    Args:
      projection: a built projection.
      path: where to save the picture, or None.
      ax: matplotlib axes to draw into, or None for a new figure.
    """
    plt = pyplot()
    ours = ax is None
    figure, ax = plt.subplots(figsize=(6, 5), layout="constrained") if ours else (ax.figure, ax)
    with drawn_picture(plt, figure, path, ours):
        pre, post = (np.asarray(ids) for ids in projection.matrix.coordinates())
        weights = projection.matrix.per_synapse()
        every = max(1, -(-pre.size // MOST_SYNAPSES))
        values, unit = np.asarray(u.get_mantissa(weights))[::every], u.get_unit(weights)
        drawn = ax.scatter(post[::every], pre[::every], c=values, s=_dot(projection, pre.size // every), marker="s", lw=0, rasterized=True)
        if values.size and np.ptp(values) > 0:
            figure.colorbar(drawn, label="weight" if unit.is_unitless else f"weight ({unit})")
        shown = "" if every == 1 else f" (1 in {every} shown)"
        ax.set(xlabel=f"post: {projection.post.label}", ylabel=f"pre: {projection.pre.label}", title=f"{pre.size:,} synapses{shown}")
        ax.set(xlim=(-0.5, projection.post.size - 0.5), ylim=(projection.pre.size - 0.5, -0.5))
    return figure


def _dot(projection, drawn: int) -> float:
    """The area of a dot (square points): as wide as a neuron is, within what can be seen and what does not fill the picture."""
    wide = 280 / max(projection.pre.size, projection.post.size)
    full = 280 / max(drawn, 1) ** 0.5
    return float(np.clip(max(wide, 0.35 * full), 0.5, 8)) ** 2
