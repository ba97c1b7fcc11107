"""The extract step: every picture of the corpus through every network, into the feature store."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Annotated, TypeVar

import typer

from extract import cluster_job
from extract import config as configs
from extract.audio import step as audio_step
from extract.config import CHALLENGES, Config
from extract.engines import calibration
from extract.engines.create import EngineCache, wants_onnxruntime
from extract.features import pipeline, provenance
from extract.features import step as feature_step
from extract.jobs import cluster, session
from extract.learning import names
from extract.media import picture_sets
from extract.networks import registry, weights
from extract.runtime import cli, errors, file_names
from extract.runtime.errors import InputError
from extract.runtime.process import thread_limit
from extract.runtime.progress import progress

C = TypeVar("C", bound=Config)


def main(config: C, work: Path, *, redo: bool = False, engines: EngineCache | None = None) -> C:
    """Make all features that are missing or out of date; return the config with the corpus's paths filled in.

    `engines`, where given, are kept for the next call. Unreadable pictures count as frames without a face and are
    listed in `<work>/features/<network>/failures.json`. Raises InputError for frames, networks or a store that cannot
    be used; videos finished before that stay.
    """
    config = names.add_learnt_networks(config, work)
    # minutes of rendering must not end at a typo
    weights.fetch_missing(check_networks(config, work), config.features.weights)
    if config.corpus.demo:
        engines = engines or EngineCache()
        heard = audio_step.names(config, work)
        overlaps = not (heard or redo or config.corpus.demo is not True or session.current_cluster() is not None)
        _render(config, work, bool(heard), lambda: _extract_rendered(config, work, engines) if overlaps else None)
    config = resolve(config, work)
    steps = list_steps(config, work, redo, engines)
    if (machines := session.current_cluster()) is not None:
        cluster_job.run(machines, config, steps)
    for part in steps:
        part.make()
        part.finish()
    return config


def check_networks(config: Config, work: Path) -> list[registry.Network]:
    """The networks that see pictures. Raises InputError for a config without any, or with one that is not known."""
    if not config.features.networks:
        raise InputError(
            "config: key 'features.networks' is missing: name the networks whose features the heads use (a blend of "
            "other people's predictions alone needs none: python -m blend.run --heads none --predictions NAME=FOLDER)"
        )
    for name in config.features.networks:
        file_names.check("network", name, "config: features.networks")
    config.refuse_template()
    if not (config.corpus.has_pictures or config.corpus.demo):
        return []
    return [registry.find(name, config) for name in _seeing(config, work)]


def calibrate(config: Config, work: Path) -> dict[str, calibration.Calibration | None]:
    """Find out how each network that sees pictures runs fastest on this CPU, and keep it; None where that fails.
    Raises InputError where there is no such network, or a GPU runs them.
    """
    config = names.add_learnt_networks(config, work)
    if not (networks := check_networks(config, work)):
        raise InputError("--calibrate: none of features.networks sees pictures: there is nothing to calibrate")
    if wants_onnxruntime(config.features.engine):
        raise InputError("--calibrate: networks run by ONNX Runtime here; it is for --set features.engine=openvino")
    weights.fetch_missing(networks, config.features.weights)
    settings = config.features.precision, thread_limit()
    subjects = {network.name: calibration.Subject(weights.find(network), network, *settings) for network in networks}
    return {name: calibration.calibrate(subject) for name, subject in subjects.items()}


def list_steps(
    config: Config, work: Path, redo: bool = False, engines: EngineCache | None = None
) -> list[feature_step.NetworkStep | audio_step.AudioStep]:
    """What is to be made of each network, pictures first. The corpus's paths are filled in; `engines` as of `main`.
    Raises InputError for frames or networks that cannot be used.
    """
    sounds = {name: audio_step.create_listener(name, config) for name in audio_step.names(config, work)}
    # before hours of pictures
    heard = audio_step.jobs(config.corpus, audio_step.count_frames(config)) if sounds else []
    seen: list[feature_step.NetworkStep] = []
    corpus, sound = _embedded_versions(config) if config.corpus.demo else ("", "")
    if config.corpus.has_pictures:
        videos = picture_sets.list_corpus(config.corpus)
        jobs = [pipeline.Job(video, item.folder, item.list_frames()) for video, item in videos.items()]
        if not any(job.frames.names for job in jobs):
            strange = next((f" ({job.folder / name})" for job in jobs for name in job.frames.odd), "")
            raise InputError(
                f"{jobs[0].folder.parent}: no pictures called like frames in its video folders{strange}; "
                f"expected <video>/00001.jpg"
            )
        for network in (registry.find(name, config) for name in _seeing(config, work)):
            settings, name = config.features, config.corpus.name
            seen.append(feature_step.NetworkStep(network, jobs, work, settings, corpus, redo, engines, name))
    for step, following in itertools.pairwise(seen):  # two of them together, as all would be in memory at once
        step.companions = [following] if step.shares_pictures(following) else []
    of_sound = heard, config.corpus, work, sound, redo
    return [*seen, *(audio_step.AudioStep(name, listener, *of_sound) for name, listener in sounds.items())]


def _seeing(config: Config, work: Path) -> list[str]:
    """The networks that see, of those in features.networks: no tables that were imported, nothing that hears."""
    heard = audio_step.names(config, work)
    known = {*registry.NETWORKS, *config.networks}
    names = [name for name in dict.fromkeys(config.features.networks) if name not in heard]
    return [name for name in names if name in known or not provenance.is_imported(work, name)]


def resolve(config: C, work: Path) -> C:
    """Fill in the paths of an embedded corpus; any other config comes back as it is. Does no work."""
    if not config.corpus.demo:
        return config
    keys = [key for key in type(config.corpus).model_fields if key in ("frames", "videos", *CHALLENGES)]
    if given := [key for key in keys if getattr(config.corpus, key)]:
        raise InputError(f"corpus.{given[0]}: demo = true brings its own; give a corpus of your own with --config")
    where = embedded_corpus(config).paths(corpus_folder(work))
    own = {key: where[key] for key in (*keys, "fps") if key in where}
    raw = config.corpus.model_dump(exclude_unset=True) | own
    return config.model_copy(update={"corpus": type(config.corpus).model_validate(raw)})


def embedded_corpus(config: Config) -> ModuleType:
    """The module that draws it: `extract.demo.corpus`, or that of single pictures."""
    from extract.demo import corpus, picture_corpus

    return picture_corpus if config.corpus.demo == "pictures" else corpus


def prepare_corpus(config: C, work: Path) -> C:
    """The config with its corpus in place: the embedded one is rendered if it is not there. Extracts nothing."""
    if config.corpus.demo:
        _render(config, work, sound=False)
    return resolve(config, work)


def corpus_folder(work: Path) -> Path:
    """Where the embedded corpus is rendered."""
    return work / "corpus"


def _refuse_without_features(config: Config, work: Path) -> None:
    """Raise InputError for a network that nothing was made of, since the corpus names no pictures."""
    for name in _seeing(config, work) if not config.corpus.has_pictures else ():
        if not any((work / "features" / name).glob("*.safetensors")):
            raise InputError(
                f"config: corpus.frames is missing, and there are no features of network {name!r} in {work}: name the "
                f"folder that holds <video>/00001.jpg, or import a table of features: python -m extract.tabular"
            )


VIDEOS_AT_A_TIME = 8
"""Rendered videos that wait for the networks together: what is done already is looked through each time."""


def _extract_rendered(config: Config, work: Path, engines: EngineCache) -> None:
    """Make the features of what is rendered so far. A corpus's pictures are drawn by processes that the networks can
    share the cores with: they leave some time unused, and so do those that draw.
    """
    for part in list_steps(resolve(config, work), work, engines=engines):
        part.make_of(part.todo(), lambda _: None)  # type: ignore[arg-type]  # seen videos alone


def _render(config: Config, work: Path, sound: bool, on_videos: Callable[[], None] = lambda: None) -> None:
    """Render what is missing of the embedded corpus, `sound` where it is heard; `on_videos` is called now and then
    while others are being rendered.
    """
    corpus = embedded_corpus(config)
    if not corpus.is_done(corpus_folder(work)):
        with progress("render the demo corpus", total=0, unit="frames") as bar:
            calls = itertools.count()

            def on_progress(done: int, total: int) -> None:
                bar.total = total
                bar.advance(done - bar.count)
                if next(calls) % VIDEOS_AT_A_TIME == VIDEOS_AT_A_TIME - 1 and done < total:
                    on_videos()

            corpus.make(corpus_folder(work), on_progress)
    if sound and hasattr(corpus, "make_sound"):
        corpus.make_sound(corpus_folder(work))


def _embedded_versions(config: Config) -> tuple[str, str]:
    """Versions of the embedded corpus's pictures, and of its sound."""
    from extract.demo import corpus

    return embedded_corpus(config).VERSION, f"{corpus.VERSION}, {corpus.ANNOTATIONS}, {corpus.SOUND}"


EXAMPLES = """Examples:
python -m extract.run                                     the embedded demo corpus
python -m extract.run --config configs/affwild2.toml      your own corpus
python -m extract.run --config configs/affwild2.toml --cluster dask://head:8786      on the workers of a Dask scheduler
python -m extract.run --videos clips --out crops          raw videos -> face crops, no features yet
python -m extract.run --calibrate                         how the networks run fastest on this CPU, ten seconds each
python -m extract.run --list-networks                     which networks there are"""


def command(
    config: cli.ConfigFile = configs.DEFAULT,
    work: cli.Work = None,
    overrides: cli.Overrides = None,
    redo: Annotated[bool, typer.Option(help="Make all features (with --videos: all crops) anew.")] = False,
    videos: Annotated[Path | None, typer.Option(help="Folder of raw videos: find and crop faces, and end.")] = None,
    out: Annotated[Path | None, typer.Option(help="With --videos: where <video>/00001.jpg go.")] = None,
    faces: Annotated[
        int, typer.Option(help="With --videos: 2 gives <video>_left and <video>_right.", min=1, max=2)
    ] = 1,
    size: Annotated[int, typer.Option(help="With --videos: edge of the crops in pixels.", min=16, max=1024)] = 112,
    fastest: Annotated[
        bool, typer.Option("--calibrate", help="Measure how the networks run fastest on this CPU, keep that, and end.")
    ] = False,
    list_networks: Annotated[bool, typer.Option("--list-networks", help="Print the known networks and end.")] = False,
    place: session.ClusterOption = cluster.LOCAL,
    as_json: cli.AsJson = False,
) -> None:
    """Turn face crops into features: logits, valence/arousal and embeddings of frozen networks."""
    with errors.exits():
        if videos is not None:
            if out is None:
                raise InputError("--videos: give --out FOLDER, where the face crops go")
            from extract.faces import crop_videos as crops

            sys.exit(crops.command(videos, out, faces=faces, size=size, redo=redo, as_json=as_json))
        if out is not None:
            raise InputError(f"--out {out}: is for --videos FOLDER, whose face crops go there; features go to --work")
        settings = configs.load(Config, config, overrides)
        if list_networks:
            from extract import list_networks as listing

            (listing.print_json if as_json else listing.print_networks)(settings)
            return
        folder = work or Path("runs") / settings.corpus.name
        if fastest:
            if redo or place != cluster.LOCAL:
                raise InputError("--calibrate: measures anew, and this machine: leave out --redo and --cluster")
            sys.exit(_print_calibrations(calibrate(settings, folder), as_json))
        with session.use_cluster(place, settings.cluster, folder):
            settings = main(settings, folder, redo=redo)
        _refuse_without_features(settings, folder)
        made = {name: folder / "features" / name for name in settings.features.networks}
        listed = [str(path / "failures.json") for path in made.values() if (path / "failures.json").exists()]
        if as_json:
            print(json.dumps({"features": made, "failures": listed}, indent=2, default=str))
        else:
            print(f"features of {', '.join(settings.features.networks)} are in {folder / 'features'}")
        if listed:
            print(f"some pictures could not be read: see {', '.join(listed)}", file=sys.stderr)
            sys.exit(1)


def _print_calibrations(results: dict[str, calibration.Calibration | None], as_json: bool) -> int:
    """What was found, and the exit code: 1 where something was not."""
    if as_json:
        print(json.dumps({name: found and found.model_dump() for name, found in results.items()}, indent=2))
    for name, found in results.items():
        if found and not as_json:
            print(f"{name}: {found.describe()}")
    return int(None in results.values())


if __name__ == "__main__":
    cli.start(command, EXAMPLES)
