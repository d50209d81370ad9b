"""The main job: every problem in conf/runs/, by both engines, in one report.

make run                                   or, on a cluster,
spark-submit --master URL --py-files dist/w261reg.zip jobs/main.py --out results
"""

import argparse
import sys
from pathlib import Path

from w261reg import signals
from w261reg.cli import guarded, main

PRESETS = Path(__file__).resolve().parents[1] / "conf" / "runs"


def run(out: Path) -> int:
    """Compare on each preset and write one report; the worst exit code of all."""
    from w261reg.report import write_combined_report
    from w261reg.session import session

    codes, results = [0], list[Path]()
    with signals.working(), session():
        for preset in sorted(PRESETS.glob("*.toml")):
            print(f"\n== {(folder := out / preset.stem).name} ==", flush=True)
            code = main(["compare", "--config", str(preset), "--out", str(folder), "--overwrite"])
            if signals.came() is not None:
                return code
            codes, results = [*codes, code], results + [folder] * (code in (0, 3))
    if results:
        report = write_combined_report(out, results, title="w261reg beside pyspark.ml")
        print(f"\nAll problems in one report: {report}")
    return max(codes)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--out", type=Path, default=Path("results"))
    sys.exit(guarded(lambda: run(arguments.parse_args().out), last=True))
