"""Pictures: the raster, population rate and traces of a run, and the connectivity of a projection."""

import brainunit as u
import numpy as np

MOST_POINTS = 200_000  # a raster beyond this is thinned by neuron, or it is a grey block


def _pyplot():
    import matplotlib.pyplot  # slow to import, and only needed here

    return matplotlib.pyplot


def plot_run(run, views, *, path=None):
    """Raster over population rate over traces, sharing the time axis; see `Run.plot`."""
    plt = _pyplot()
    traces = run.states
    heights = [3, 1] + [1.4] * bool(traces)
    figure, axes = plt.subplots(len(heights), 1, sharex=True, figsize=(9, 1.6 * sum(heights)), height_ratios=heights, layout="constrained")
    _raster(axes[0], run, views)
    _rates(axes[1], run, views)
    if traces:
        _traces(axes[2], run, traces)
    axes[-1].set_xlabel("time (ms)")
    axes[0].set_xlim(run.first_step * run.dt, (run.first_step + run.n_steps) * run.dt)
    if path is not None:
        figure.savefig(path, dpi=150)
        plt.close(figure)
    return figure


def _raster(ax, run, views):
    offset = 0
    for view in views:
        times, ids = run.spikes(view)
        every = max(1, -(-ids.size // MOST_POINTS))
        shown = ids % every == 0
        size = 2.0 if ids.size < 20_000 else 0.6
        ax.plot(times.to_decimal(u.ms)[shown], ids[shown] + offset, ".", ms=size, mew=0, rasterized=True, label=f"{view.label}: {run.rate(view).to_decimal(u.Hz):.1f} Hz")
        offset += view.size
    ax.set_ylabel("neuron")
    ax.set_ylim(0, offset)
    ax.legend(loc="upper right", markerscale=6, fontsize="small")


def _rates(ax, run, views):
    for view in views:
        times, rates = run.population_rate(view)
        ax.plot(times.to_decimal(u.ms), rates.to_decimal(u.Hz), lw=0.7)
    ax.set_ylabel("rate (Hz)\nin 1 ms bins")
    ax.set_ylim(bottom=0)


def _traces(ax, run, traces):
    times, names = run.times.to_decimal(u.ms), []
    for name, values in traces.items():
        ax.plot(times, np.asarray(u.get_mantissa(values)), lw=0.6)
        unit = u.get_unit(values)
        names.append(name if unit.is_unitless else f"{name} ({unit})")
    ax.set_ylabel("\n".join(names))


def plot_matrix(projection, *, path=None, ax=None):
    """Draw which pre neuron connects to which post neuron, coloured by weight.

    Args:
      projection: a built projection.
      path: where to save the picture, or None.
      ax: matplotlib axes to draw into, or None for a new figure.
    """
    plt = _pyplot()
    figure, ax = (ax.figure, ax) if ax is not None else plt.subplots(figsize=(6, 5), layout="constrained")
    pre, post = (np.asarray(ids) for ids in projection.matrix.coordinates())
    weights = projection.matrix.per_synapse()
    every = max(1, -(-pre.size // MOST_POINTS))
    drawn = ax.scatter(post[::every], pre[::every], c=np.asarray(u.get_mantissa(weights))[::every], s=1, marker="s", lw=0, rasterized=True)
    figure.colorbar(drawn, label=f"weight ({u.get_unit(weights)})")
    ax.set(xlabel=f"post: {projection.post.label}", ylabel=f"pre: {projection.pre.label}", title=projection.name)
    ax.invert_yaxis()
    if path is not None:
        figure.savefig(path, dpi=150)
        plt.close(figure)
    return figure
