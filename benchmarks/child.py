"""One workload of one system in this fresh process; the result goes to a file, as JSON.

    python -m benchmarks.child SYSTEM WORKLOAD BORN RESULT

`BORN` is the clock when the process was started (`time.monotonic`, which all processes of a
machine share). "machine" for SYSTEM measures the machine's limits.
"""

from __future__ import annotations

import sys
import time


def measure(system_name: str, workload_name: str, born: float) -> dict[str, object]:
    """Run a workload; return `{"values": ...}`, or `{"lacking": True}`."""
    if system_name == "machine":
        from benchmarks import machine  # noqa: PLC0415  # its imports would count as a system's

        return {"values": machine.limits()}
    from benchmarks.systems import load  # noqa: PLC0415  # as above
    from benchmarks.systems.base import Lacking  # noqa: PLC0415

    system = load(system_name)
    system.start()
    try:
        if workload_name == "start":
            from benchmarks.calls import noop  # noqa: PLC0415

            system.get(system.remote(noop)(1))
            return {"values": {"seconds": time.monotonic() - born}}
        from benchmarks import workloads  # noqa: PLC0415  # imports psutil

        return {"values": workloads.run(workloads.WORKLOADS[workload_name], system)}
    except Lacking:
        return {"lacking": True}
    finally:
        system.stop()


def main() -> None:
    """Do what the command line says."""
    system_name, workload_name, born, result = sys.argv[1:]

    measured = measure(system_name, workload_name, float(born))
    import json  # noqa: PLC0415  # not before the start is measured

    with open(result, "w", encoding="utf-8") as file:  # noqa: PTH123  # pathlib costs an import
        json.dump(measured, file)


if __name__ == "__main__":
    main()
