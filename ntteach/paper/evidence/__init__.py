"""The functions that `ntteach.paper` names: each runs one check and returns its evidence.

Here, and only here, the hand-derived code, the autograd oracle and the symbolic derivations meet.
"""
