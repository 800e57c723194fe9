"""Uniform random numbers for losses: NumPy's on the CPU, where they come faster, else torch's."""

import numpy as np
import torch

from .reading_waits import reading_waits


class Randomness:
    """Where a loss takes its uniform numbers from, in its forward and in its backward pass.

    On the CPU they are NumPy's, which come four times as fast as torch's (those take a third of a
    HIER step), from a seed drawn once. On an accelerator they are the device's own: there a seed
    would have to be read, and reading waits.
    """

    def __init__(self, device, generator):
        self.seed = None
        self.generator = generator
        if not reading_waits(device):
            self.seed = _draw_seed(generator)
        elif generator is not None and generator.device.type != device.type:
            self.generator = torch.Generator(device).manual_seed(_draw_seed(generator))

    def stream(self, number):
        """The stream of this number: on the CPU it starts anew, and is independent of others."""
        if self.seed is None:
            return TorchUniform(self.generator)
        return NumpyUniform(np.random.Generator(np.random.SFC64(self.seed + number)))


class TorchUniform:
    """Numbers of a torch generator."""

    def __init__(self, generator):
        self.generator = generator

    def fill(self, out):
        """Fill a tensor with numbers in [0, 1), and return it."""
        return out.uniform_(generator=self.generator)

    def fill_logs(self, out):
        """Fill a tensor with logarithms of such numbers, and return it."""
        return self.fill(out).log_()


class NumpyUniform:
    """Numbers of a NumPy generator."""

    def __init__(self, generator):
        self.generator = generator

    def fill(self, out):
        """Fill a contiguous tensor with numbers in [0, 1), and return it."""
        try:
            array = out.numpy()
        except RuntimeError:  # under torch.func a tensor has no memory that NumPy could see
            array = np.empty(out.shape, dtype=str(out.dtype).removeprefix("torch."))
            self.generator.random(dtype=array.dtype, out=array)
            return out.copy_(torch.from_numpy(array))
        self.generator.random(dtype=array.dtype, out=array)
        return out

    def fill_logs(self, out):
        """Fill a contiguous tensor with logarithms of numbers in [0, 1], and return it.

        In float32 two numbers come from 64 random bits, at half the cost of :meth:`fill`. They are
        multiples of 2^-32 rounded to float32: finer near 0 than multiples of 2^-24, and maybe 1.
        """
        if out.dtype != torch.float32:
            return self.fill(out).log_()
        bits = self.generator.bit_generator.random_raw((out.numel() + 1) // 2)
        integers = torch.from_numpy(bits.view(np.uint32))[: out.numel()].view(out.shape)
        return out.copy_(integers).mul_(2.0**-32).log_()


def _draw_seed(generator):
    """A seed from a generator, or from torch's global one."""
    device = torch.device("cpu") if generator is None else generator.device
    return int(torch.randint(2**62, (), generator=generator, device=device))
