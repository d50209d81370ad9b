"""Measure engines on the same problems as a Spark job. The options are those of
`w261reg benchmark`.

    make zip
    spark-submit --master spark://HOST:7077 --properties-file conf/standalone.conf \\
        --py-files dist/w261reg.zip \\
        jobs/benchmark.py --out results/benchmark --data /shared/benchmark

Every fit starts a session of its own with this job's master and properties; deploy mode client. The
tables lie in --data, which the executors must be able to read.
"""

import sys

from w261reg.cli import main

if __name__ == "__main__":
    sys.exit(main(["benchmark", *sys.argv[1:]], last=True))
