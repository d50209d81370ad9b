#!/usr/bin/env bash
# Makes an environment of the oldest dependencies that pyproject.toml allows, and of today's tools for
# tests, on one Python; oldest.txt in it lists them: `make test-oldest`.
# Usage: oldest.sh PYTHON FOLDER
set -euo pipefail
python=$1 folder=$2

"$python" -m venv --clear "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check uv
install=("$folder/bin/uv" pip install --quiet --python "$folder/bin/python")
# the lowest that this Python has a wheel of: what has to be compiled is not what people install
for name in numpy scipy pandas pyarrow matplotlib; do install+=(--only-binary "$name"); done
"${install[@]}" --resolution lowest-direct '.[spark]'
"$folder/bin/uv" pip freeze --python "$folder/bin/python" | grep -v -e '^w261reg' -e '^uv=' >"$folder/oldest.txt"
# what tests with is today's, and must leave the rest as it is
"${install[@]}" --constraint "$folder/oldest.txt" --editable '.[spark,dev]'
