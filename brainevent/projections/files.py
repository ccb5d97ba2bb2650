"""Files of networks and runs: numpy's .npz, without pickle, written whole or not at all."""

import os
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import brainunit as u
import jax
import numpy as np

from .parameters import digest, with_unit

VERSION = 1
STATE, RUN = "brainevent network state", "brainevent run"


def path_of(path) -> Path:
    """The path with the ending .npz, unless it has one."""
    path = Path(path)
    return path if path.suffix else path.with_suffix(".npz")


def write(path, kind: str, arrays: dict[str, Any], *, compressed: bool) -> None:
    """Write arrays to a temporary file beside `path`, and give it that name once it is on the disk."""
    path = path_of(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            (np.savez_compressed if compressed else np.savez)(file, kind=kind, version=VERSION, **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _umask() -> int:
    """What mkstemp does without, since its files are for nobody else."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def read(path, kind: str) -> dict[str, np.ndarray]:
    """The arrays of a file of that kind, or an error that says what is wrong with it."""
    path = path_of(path)
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zipfile.LargeZipFile) as error:
        raise ValueError(f"{path} is damaged, or no .npz file: {error}") from error
    found = str(arrays.pop("kind", "another file"))
    if found != kind:
        raise ValueError(f"{path} holds {found!r}, expected {kind!r}")
    version = int(arrays.pop("version", 0))
    if version != VERSION:
        raise ValueError(f"{path} has version {version}, expected {VERSION}: it was written by another brainevent")
    return arrays


# -- the state of a network ----------------------------------------------------------------------------------------------------


def save_state(net, path) -> None:
    """Write all states of a network, and what it is."""
    arrays = {f"what/{name}": value for name, value in (_identity(net) | _by_delay(net)).items()}
    arrays |= {"dt_ms": np.nan if net.dt is None else net.dt.to_decimal(u.ms)}
    for path_of_leaf, leaf in jax.tree_util.tree_flatten_with_path(net._collect())[0]:
        arrays["/".join(str(key.key) for key in path_of_leaf)] = np.asarray(leaf)
    for index, counts in enumerate(net._path_counts):
        arrays[f"counts/{index}"] = counts
    write(path, STATE, arrays, compressed=False)


def load_state(net, path) -> None:
    """Give a network the states of a file, if that was written by one like it, else raise."""
    arrays = read(path, STATE)
    _compare(path, arrays, _identity(net))
    dt = float(arrays["dt_ms"])
    if net.dt is None and not np.isnan(dt):
        net._set_dt(dt * u.ms)
    if net.dt is not None and not np.isclose(dt, net.dt.to_decimal(u.ms), rtol=1e-6, atol=0):
        raise ValueError(f"{path_of(path)} is of another network: dt is {dt} ms there, {net.dt} here")
    _compare(path, arrays, _by_delay(net))
    tree = net._collect()
    kept = {key.removeprefix("kept/"): value for key, value in arrays.items() if key.startswith("kept/")}
    populations = {label: {name: arrays.get(f"populations/{label}/{name}") for name in own} for label, own in tree["populations"].items()}
    for label, own in tree["populations"].items():
        for name, value in own.items():
            _check(path, f"{label}.{name}", populations[label][name], value)
    for key, value in tree["kept"].items():
        if key.startswith(("launch.", "late")):
            continue  # of how it was run, and not of the network; of delays that were changed
        if (key.startswith(("due.", "ring.")) or ".past." in key) and key in kept:
            continue  # as long as the delays that they were made for
        _check(path, key, kept.get(key), value)
    net.take_states(populations, kept, [arrays[f"counts/{index}"] for index in range(len(net.projections))])


def _check(path, name: str, there, here) -> None:
    """Raise unless an array is there, of the shape and dtype of the one that is here."""
    if there is None or there.shape != here.shape or there.dtype != here.dtype:
        found = "nothing" if there is None else f"{there.dtype} {there.shape}"
        raise ValueError(f"{path_of(path)} is of another network: {name} is {found} there, {here.dtype} {here.shape} here")


def _compare(path, arrays: dict, here: dict) -> None:
    """Raise unless the file says the same of its network."""
    for name, value in here.items():
        there, value = arrays.get(f"what/{name}"), np.asarray(value).tolist()
        if there is None or there.tolist() != value:
            given = "nothing" if there is None else there.tolist()
            raise ValueError(f"{path_of(path)} is of another network: {name} is {given} there, {value} here")


def _identity(net) -> dict[str, Any]:
    """What two networks have in common of which one can go on from the states of the other, as far as it is known without dt."""
    what: dict[str, Any] = {"seed": str(net.seed), "precision": str(np.dtype(jax.numpy.result_type(float)))}
    what["populations"] = [f"{type(p).__name__} {p.label} of {p.size}" for p in net.populations]
    for index, projection in enumerate(net.schedule.projections):
        what[f"projection {index}"] = f"{projection.name}, {projection.held!r}, {projection.synapse!r}, {projection.plasticity!r}"
        if not projection.each_delayed:
            what[f"synapses of {projection.name} ({index})"] = _synapses(projection)
            what[f"delays of {projection.name} ({index})"] = digest(np.asarray(projection.delay.mantissa))
    what["inputs"] = [f"{drive!r}, {drive.weight}, {drive.synapse!r}" for drive in net.schedule.drives]
    return what


def _by_delay(net) -> dict[str, Any]:
    """The same of synapses that are stored by delays of their own, which dt rounds."""
    what = {}
    for index, projection in enumerate(net.schedule.projections):
        if projection.each_delayed:
            what[f"synapses of {projection.name} ({index})"] = _synapses(projection)
            what[f"delays of {projection.name} ({index})"] = digest(*map(np.asarray, projection.delays or ()))
    return what


def _synapses(projection) -> int:
    """A digest of all synapses as they are stored; of their weights too, unless these learn."""
    return digest(*map(np.asarray, jax.tree.leaves(projection.held.replace(data=u.get_mantissa(projection.held.data)))))


# -- a run ---------------------------------------------------------------------------------------------------------------------


def save_run(run, path) -> None:
    """Write the spikes and states of a run."""
    arrays = {"dt_ms": run.dt, "first_step": run.first_step, "n_steps": run.n_steps, "interrupted": run.interrupted}
    arrays |= {} if run.speed is None else {"speed": run.speed}
    arrays |= {f"size/{label}": size for label, size in run.sizes.items()} | {f"every/{key}": k for key, k in run._every.items()}
    arrays |= {f"statistics/{key}/{name}": value for key, found in run._statistics.items() for name, value in found.items()}
    for label in run._spikes:
        steps, ids = run.steps_and_ids(label)
        arrays |= {f"spikes/{label}/step": steps, f"spikes/{label}/id": ids}
    for key, values in run._states.items():
        arrays |= {f"states/{key}": np.asarray(u.get_mantissa(values)), f"unit/{key}": str(u.get_unit(values))}
    write(path, RUN, arrays, compressed=True)


def load_run(path) -> dict[str, Any]:
    """What `Run` takes, of a file of `save_run`."""
    arrays = read(path, RUN)

    def of(kind: str) -> dict[str, np.ndarray]:
        return {name.removeprefix(f"{kind}/"): value for name, value in arrays.items() if name.startswith(f"{kind}/")}

    sizes, spikes, units, statistics = of("size"), of("spikes"), of("unit"), {}
    for path_of_value, value in of("statistics").items():
        key, _, name = path_of_value.rpartition("/")
        statistics.setdefault(key, {})[name] = value
    return {
        "dt": float(arrays["dt_ms"]),
        "first_step": int(arrays["first_step"]),
        "n_steps": int(arrays["n_steps"]),
        "interrupted": bool(arrays["interrupted"]),
        "speed": float(arrays["speed"]) if "speed" in arrays else None,
        "spikes": {label: (spikes[f"{label}/step"], spikes[f"{label}/id"]) for label in sizes if f"{label}/step" in spikes},
        "states": {key: with_unit(values, u.parse_unit(str(units[key]))) for key, values in of("states").items()},
        "sizes": {label: int(size) for label, size in sizes.items()},
        "every": {key: int(k) for key, k in of("every").items()},
        "statistics": statistics,
    }
