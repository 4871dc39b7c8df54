"""Packing with a proof: choose touches of the greatest value under shared and personal limits, floors and offers.

Arrays in, arrays out. The problem is

    max v.x   subject to   least <= A x <= limit,   one option per group,   x in {0, 1}^n

and nothing here knows whether a row of ``A`` is a budget, an hour of a call centre or one person's
week. For any prices l, above 0 on limits and below 0 on floors, with reduced values q = v - A'l,

    L(l) = max over x of q.x, within what has no price, + l.limit (or l.least)  >=  the best plan   (weak duality)

so every price vector proves a bound. Small problems are priced by the linear program itself, large ones by a dual method
that solves each person exactly. A plan comes from taking touches by reduced value; where bound and plan do not meet, the
touches whose reduced value is near zero go to HiGHS.
"""

from omnireco._kernels.packing.bounds import dual_bound
from omnireco._kernels.packing.filling import fill
from omnireco._kernels.packing.prices import lagrange_prices
from omnireco._kernels.packing.problem import TOLERANCE, InConflict, Solution
from omnireco._kernels.packing.solving import solve

__all__ = ["TOLERANCE", "InConflict", "Solution", "dual_bound", "fill", "lagrange_prices", "solve"]
