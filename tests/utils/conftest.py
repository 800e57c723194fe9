"""Fixtures of the tests of search and scores."""

import sys

import pytest


@pytest.fixture(params=["faiss", "torch"])
def backend(request, monkeypatch):
    """Once with FAISS, if it is installed, and once as if it were not."""
    if request.param == "faiss":
        pytest.importorskip("faiss")
    else:
        monkeypatch.setitem(sys.modules, "faiss", None)
    return request.param
