import pytest

from .place import made_place


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    try:
        with made_place(tmp_path_factory.mktemp("faults")) as place:
            yield place
    except FileNotFoundError as error:
        pytest.skip(str(error))
