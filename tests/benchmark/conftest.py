"""Fixtures of the benchmark's tests."""

from pathlib import Path

import pytest

from tests.benchmark.helpers import dense_file, sparse_file


@pytest.fixture(scope="session")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return dense_file(tmp_path_factory.mktemp("dense"))


@pytest.fixture(scope="session")
def sparse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sparse_file(tmp_path_factory.mktemp("sparse"))
