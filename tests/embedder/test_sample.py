"""Samples are read in order, ahead of who takes them, and errors name the image."""

import threading

import pytest

from pml_hyperbolic.embedder.sample import Sample, read_samples
from pml_hyperbolic.errors import InputError


def test_in_order_and_some_ahead():
    read, fifth = [], threading.Event()

    def reader(number):
        def one(preprocessing):
            read.append(number)
            if number == 4:
                fifth.set()
            return number

        return one

    samples = [Sample(str(number), reader(number)) for number in range(20)]
    reading = read_samples(samples, None, ahead=4)
    assert next(reading)[1] == 0
    assert fifth.wait(timeout=60)
    assert 5 not in read
    assert [value for _, value in reading] == list(range(1, 20))


def test_an_error_names_its_image():
    def fail(preprocessing):
        raise OSError("closed file")

    with pytest.raises(InputError, match="photo cannot be read: closed file"):
        list(read_samples([Sample("photo", fail)], None, ahead=1))
