"""Replay histories: `python -m tests.simulation SEED ...`, or `--from A --count N`."""

from __future__ import annotations

import argparse
import sys

from .simulator import Failed, run


def main() -> int:
    """Play what the command line names; print the story of what fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seeds", nargs="*", type=int)
    parser.add_argument("--from", dest="first", type=int, default=0)
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--actions", type=int, default=60)
    parser.add_argument("--brief", action="store_true", help="only the reasons")
    parser.add_argument("--stop", action="store_true", help="at the first that fails")
    parser.add_argument("--log", type=int, default=50, help="lines of the story")
    parser.add_argument("--pressed", action="store_true", help="with memory that gets short")
    parser.add_argument("--story", action="store_true", help="also of those that go well")
    arguments = parser.parse_args()
    seeds = arguments.seeds or range(arguments.first, arguments.first + arguments.count)
    failed = 0
    steps = 0
    for seed in seeds:
        try:
            world = run(
                seed,
                actions=arguments.actions,
                log_lines=arguments.log,
                pressed=arguments.pressed,
            )
        except Failed as failure:
            failed += 1
            text = str(failure)
            sys.stdout.write((text.splitlines()[0] if arguments.brief else text) + "\n")
            if arguments.stop:
                break
        else:
            steps += world.steps
            if arguments.story:
                sys.stdout.write("\n".join(world.log) + "\n")
    sys.stdout.write(f"{len(seeds)} histories, {steps} steps, {failed} failed\n")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
