"""Fair comparison of metric-learning methods: one protocol, N methods, nothing else differs.

Needs the extra ``benchmark``; the command line is ``pml-hyperbolic``.
"""
