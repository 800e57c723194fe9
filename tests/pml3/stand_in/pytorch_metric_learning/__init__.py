"""A stand-in for pytorch-metric-learning 3: its public names and signatures, as documented.

It exists to show that the core of pml_hyperbolic imports and trains where PML 3 is installed.
Nothing of PML is in it: the names, signatures and contracts are those of PML 3's documentation, and
the behaviour behind them is the least that obeys these, written for this test. docs/pml3.md lists
the page of each fact, and which signatures are assumed because no page could be read.

It is strict where PML 3 is said to be: arguments and helpers of version 2 do not exist.
"""
