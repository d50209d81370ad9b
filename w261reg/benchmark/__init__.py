"""Problems x engines: the same table, the same objective, the same accuracy, fresh processes.

Three steps joined by files: run (results.csv), analysis (summary.csv, ratios.csv), plot (figures,
report.html). An engine is one file in engines/, a table one file in tables/.
"""
