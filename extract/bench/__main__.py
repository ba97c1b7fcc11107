"""`python -m extract.bench`: frames/s of our extraction beside the published ways."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from extract.bench.fixtures import ARCH
from extract.bench.measure import WAYS, main
from extract.runtime import cli, errors


def command(
    pictures: Annotated[int, typer.Option(help="Generated crops of 112x112.", min=1)] = 512,
    repeats: Annotated[int, typer.Option(help="Rounds; medians are printed.", min=1)] = 5,
    seed: int = 0,
    long: Annotated[
        int, typer.Option(help="Extract so many crops instead, and show memory and frames/s from tenth to tenth.")
    ] = 0,
    network: Annotated[str, typer.Option(help=f"With --long: {ARCH} (random weights), or a known network.")] = ARCH,
    learning: Annotated[
        bool, typer.Option("--learning", help="Measure fine-tuning instead, beside a bare torch loop.")
    ] = False,
    batch: Annotated[int, typer.Option(help="With --learning: pictures of a batch.", min=2)] = 64,
    device: Annotated[str, typer.Option(help="What ours runs on: cpu, or cuda where there is a GPU.")] = "cpu",
    precision: Annotated[str, typer.Option(help="What ours computes in: fp32, or bf16 where the CPU has it.")] = "fp32",
    as_json: cli.AsJson = False,
) -> None:
    """Measure extraction against the published ways, or with --long over time. Takes some minutes."""
    with errors.exits():
        if learning:
            from extract.bench import learning as learning_bench

            took = learning_bench.main(pictures, repeats, batch, device, seed)
            print(json.dumps(took) if as_json else learning_bench.table(took))
            return
        if long:
            from extract.bench import long_run

            tenths = long_run.main(long, network, seed)
            print(json.dumps(asdict(tenths), default=list) if as_json else long_run.table(tenths))
            return
        result = main(pictures, repeats, seed, device, precision)
        if as_json:
            print(json.dumps(result))
            return
        print(f"| way | frames/s | ours is |\n|---|---|---|\n| (c) {WAYS['c']} | {result['c']:.0f} | |")
        for way in ("a", "b", "d", *{"e"} & result.keys()):
            if way in result:
                print(f"| ({way}) {WAYS[way]} | {result[way]:.0f} | {result[f'c/{way}']:.2f} times |")
            else:
                print(f"| ({way}) {WAYS[way]} | pip install -e .[bench] | |")
        print(f"| hashing its features, when written and when read | {result['checking']:.3%} of (c)'s time | |")
        if "difference" in result:
            print(f"| its outputs' difference from the CPU's in fp32, relative | {result['difference']:.1e} | |")
        if "peak" in result:
            most = "a matrix product's here" if device == "cpu" else "the GPU's"
            print(f"| (d)'s float32 operations, of {most} | {result['peak']:.1%} | |")


EXAMPLES = """Examples:
python -m extract.bench                                          beside the published ways
python -m extract.bench --device cuda                            on a GPU, beside the published ways here
python -m extract.bench --precision bf16                         on a CPU that has bf16
python -m extract.bench --learning --pictures 256 --repeats 1    fine-tuning beside a bare loop
python -m extract.bench --long 50000                             a long run, tf_efficientnet_b0
python -m extract.bench --long 50000 --network demo_enet         the same with a small network"""


if __name__ == "__main__":
    cli.start(command, EXAMPLES)
