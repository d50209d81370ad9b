"""Score rows with a trained model as a Spark job. The options are those of `w261reg predict`.

    make zip
    spark-submit --properties-file conf/laptop.conf --py-files dist/w261reg.zip \\
        jobs/predict.py results/ionosphere-l2 data/ionosphere.csv --out predictions.csv

The master comes from the properties file or from spark-submit's --master, never from here.
"""

import sys

from w261reg.cli import main

if __name__ == "__main__":
    sys.exit(main(["predict", *sys.argv[1:]], last=True))
