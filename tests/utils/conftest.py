"""What the tests of search and scores share."""

import sys

import pytest


@pytest.fixture(params=["faiss", "torch"])
def backend(request, monkeypatch):
    """With FAISS where it is installed, and as if it were not."""
    if request.param == "faiss":
        pytest.importorskip("faiss")
    else:
        monkeypatch.setitem(sys.modules, "faiss", None)
    return request.param
