"""Fit the same problem here and with pyspark.ml as a Spark job. The options are those of
`w261reg compare`.

    make zip
    spark-submit --properties-file conf/laptop.conf --py-files dist/w261reg.zip \\
        jobs/compare.py --config conf/runs/ionosphere-l2.toml --out results/comparison

The master comes from the properties file or from spark-submit's --master, never from here.
"""

import sys

from w261reg.cli import main

if __name__ == "__main__":
    sys.exit(main(["compare", *sys.argv[1:]], last=True))
