"""The compiled passes over people with rows of their own: windows, one per item, weights, offers. Each is searched."""

from __future__ import annotations

from typing import Any

import numpy as np

from omnireco._core.compute import compiled

__all__ = ["fits", "person_loop", "search_person", "take_loop", "use"]

_NODES = 2_000  # touches taken on trial for one person, beyond which the best found stands and its bound is rough


@compiled
def fits(a: int, own_start: Any, own_row: Any, own_weight: Any, left: Any, first: int, option: Any, offer: int) -> bool:
    """Return whether touch ``a`` fits what is left of its person's rows, and their offer (-1: none).

    The rows of the person stand in ``left`` from ``first`` on.
    """
    if option.shape[0] > 0 and option[a] >= 0 and offer >= 0 and option[a] != offer:
        return False
    ones = own_weight.shape[0] == 0
    for i in range(own_start[a], own_start[a + 1]):
        if (1.0 if ones else own_weight[i]) > left[first + own_row[i]]:
            return False
    return True


@compiled
def use(a: int, sign: float, own_start: Any, own_row: Any, own_weight: Any, left: Any, first: int) -> None:
    """Take what touch ``a`` uses from what is left of its person's rows; give it back where ``sign`` is -1."""
    ones = own_weight.shape[0] == 0
    for i in range(own_start[a], own_start[a + 1]):
        left[first + own_row[i]] -= sign if ones else sign * own_weight[i]


@compiled
def search_person(
    a0: int,
    order: Any,
    k: int,
    q: Any,
    most: int,
    own_start: Any,
    own_row: Any,
    own_weight: Any,
    left: Any,
    option: Any,
    cover: Any,
    before: Any,
    after: Any,
    stack: Any,
    best: Any,
) -> tuple[int, float, float]:
    """Return how many touches are best, what they are worth, and what no others exceed; ``best`` has their places.

    ``order`` are the places of the k touches with a q above 0, the best first. Depth first, each touch taken before
    it is
    left; a branch is cut where neither the best of what remains, as many as the cap allows, nor the best of each
    group of
    which one is allowed could pass the best so far.
    """
    before[0] = 0.0
    for i in range(k):
        before[i + 1] = before[i] + q[order[i]]
        after[i] = 0.0
    after[k] = 0.0
    for i in range(k - 1, -1, -1):
        group = cover[a0 + order[i]]
        behind = 0.0
        if group >= 0:
            for j in range(i + 1, k):
                if cover[a0 + order[j]] == group:
                    behind = q[order[j]]
                    break
        after[i] = after[i + 1] - behind + q[order[i]]
    most = min(most, k)
    root = min(before[most], after[0])
    found, n_best, now, n, i, nodes, offer = 0.0, 0, 0.0, 0, 0, 0, -1
    while True:
        while i < k and n < most:
            reach = min(before[min(k, i + most - n)] - before[i], after[i])
            if now + reach <= found + 1e-12 * root:
                break
            a = a0 + order[i]
            if fits(a, own_start, own_row, own_weight, left, 0, option, offer):
                use(a, 1.0, own_start, own_row, own_weight, left, 0)
                if option.shape[0] > 0 and option[a] >= 0:
                    offer = option[a]
                stack[n] = i
                n += 1
                now += q[order[i]]
                nodes += 1
                if now > found:
                    found, n_best = now, n
                    for j in range(n):
                        best[j] = order[stack[j]]
            i += 1
        if n == 0 or nodes > _NODES:
            break
        n -= 1
        i = stack[n]
        a = a0 + order[i]
        use(a, -1.0, own_start, own_row, own_weight, left, 0)
        now -= q[order[i]]
        offer = -1
        if option.shape[0] > 0:
            for j in range(n):
                if option[a0 + order[stack[j]]] >= 0:
                    offer = option[a0 + order[stack[j]]]
        i += 1
    for j in range(n):
        a = a0 + order[stack[j]]
        use(a, -1.0, own_start, own_row, own_weight, left, 0)
    return n_best, found, root if nodes > _NODES else found


@compiled
def person_loop(
    u0: int,
    u1: int,
    start: Any,
    value: Any,
    row: Any,
    weight: Any,
    cap: Any,
    own_start: Any,
    own_row: Any,
    own_weight: Any,
    own_first: Any,
    own_limit: Any,
    option: Any,
    cover: Any,
    price: Any,
    used: Any,
    bend: Any,
    band: float,
    near: float,
    touch: Any,
    margin: Any,
    taken: Any,
    count: Any,
) -> float:
    """Return an upper bound of what the people u0 to u1 are worth at the prices; add what their best touches use.

    ``bend`` (where given) is the density of people about to exchange one touch for another or for none; ``touch``,
    ``margin`` and ``taken`` (where given) are the touches taken or left by less than ``near``, by exchange of one for
    one;
    ``count[0]`` is how many.
    """
    ones = weight.shape[0] == 0
    width = row.shape[1]
    bends, lists = bend.shape[0] > 0, touch.shape[0] > 0
    longest = 1
    for u in range(u0, u1):
        longest = max(longest, start[u + 1] - start[u])
    q = np.empty(longest, np.float64)
    order = np.empty(longest, np.int64)
    before, after = np.empty(longest + 1, np.float64), np.empty(longest + 1, np.float64)
    stack, best = np.empty(longest + 1, np.int64), np.empty(longest + 1, np.int64)
    inside = np.empty(longest, np.bool_)
    ahead = np.empty(longest, np.float64)
    rows = 0
    for u in range(u0, u1):
        rows = max(rows, own_first[u + 1] - own_first[u])
    left = np.empty(rows, np.float64)
    total, n_out = 0.0, 0
    for u in range(u0, u1):
        a0, a1 = start[u], start[u + 1]
        for i in range(own_first[u + 1] - own_first[u]):
            left[i] = own_limit[own_first[u] + i]
        k = 0
        for a in range(a0, a1):
            net = value[a]
            for c in range(width):
                if ones:
                    net -= price[row[a, c]]
                else:
                    net -= weight[a, c] * price[row[a, c]]
            q[a - a0] = net
            inside[a - a0] = False
            if net > 0:
                at = k
                while at > 0 and q[order[at - 1]] < net:
                    order[at] = order[at - 1]
                    at -= 1
                order[at] = a - a0
                k += 1
        n, _, above = search_person(
            a0, order, k, q, cap[u], own_start, own_row, own_weight, left, option, cover, before, after, stack, best
        )
        total += above
        offer, carriers = -1, 0
        for i in range(n):
            a = a0 + best[i]
            inside[best[i]] = True
            use(a, 1.0, own_start, own_row, own_weight, left, 0)
            if option.shape[0] > 0 and option[a] >= 0:
                offer = option[a]
                carriers += 1
            for c in range(width):
                used[row[a, c]] += 1.0 if ones else weight[a, c]
        if bends or lists:
            for i in range(a1 - a0):
                ahead[i] = q[i] if inside[i] else -1e300
            for i in range(-1, n):  # without one of the touches taken, or with all of them: what else would fit?
                worth, rival, nothing = 0.0, -1, True
                without = -1 if i < 0 else best[i]
                own = -1
                if i >= 0:
                    worth = q[without]
                    own = a0 + without
                    use(own, -1.0, own_start, own_row, own_weight, left, 0)
                    if option.shape[0] > 0 and option[own] >= 0 and carriers == 1:
                        nothing = False
                top = 0.0
                free = n - (1 if i >= 0 else 0) < cap[u]
                for b in range(a1 - a0):
                    if inside[b] or not free or q[b] - worth <= -max(band, near):
                        continue
                    if not fits(a0 + b, own_start, own_row, own_weight, left, 0, option, offer if nothing else -1):
                        continue
                    if q[b] - worth > ahead[b]:
                        ahead[b] = q[b] - worth
                    if q[b] > top:
                        top, rival = q[b], b
                    if bends and i < 0 and q[b] > -band:
                        for c in range(width):
                            for d in range(width):
                                s = 1.0 if ones else weight[a0 + b, c] * weight[a0 + b, d]
                                bend[row[a0 + b, c], row[a0 + b, d]] += 0.5 * s / band
                if i >= 0:
                    ahead[without] = worth - top
                    if bends and worth - top < band:
                        share = (1.0 if rival >= 0 else 0.5) / band
                        for c in range(2 * width):
                            if c < width:
                                rc, wc = row[own, c], 1.0 if ones else weight[own, c]
                            elif rival >= 0:
                                rc, wc = row[a0 + rival, c - width], -1.0 if ones else -weight[a0 + rival, c - width]
                            else:
                                break
                            for d in range(2 * width):
                                if d < width:
                                    rd, wd = row[own, d], 1.0 if ones else weight[own, d]
                                elif rival >= 0:
                                    rd = row[a0 + rival, d - width]
                                    wd = -1.0 if ones else -weight[a0 + rival, d - width]
                                else:
                                    break
                                bend[rc, rd] += share * wc * wd
                    use(own, 1.0, own_start, own_row, own_weight, left, 0)
        if lists:
            for i in range(a1 - a0):
                if inside[i] or ahead[i] > -near:
                    touch[n_out], margin[n_out], taken[n_out] = a0 + i, ahead[i], inside[i]
                    n_out += 1
        for i in range(n):
            a = a0 + best[i]
            use(a, -1.0, own_start, own_row, own_weight, left, 0)
    count[0] = n_out
    return total


@compiled
def take_loop(
    order: Any,
    owner: Any,
    row: Any,
    weight: Any,
    room: Any,
    spare: Any,
    chosen: Any,
    own_start: Any,
    own_row: Any,
    own_weight: Any,
    own_first: Any,
    left: Any,
    option: Any,
    offer: Any,
) -> None:
    """Take touches in order while shared rows and their person have room; room, spare, chosen, left and offer change.

    ``own_start`` is empty where people have caps alone.
    """
    ones, owns = weight.shape[0] == 0, own_start.shape[0] > 0
    for i in range(order.size):
        a = order[i]
        u = owner[i]
        if chosen[a] or spare[u] == 0:
            continue
        if owns and not fits(a, own_start, own_row, own_weight, left, own_first[u], option, offer[u]):
            continue
        possible = True
        for k in range(row.shape[1]):
            w = 1.0 if ones else weight[a, k]
            if w > 0 and w > room[row[a, k]]:
                possible = False
                break
        if possible:
            chosen[a] = True
            spare[u] -= 1
            for k in range(row.shape[1]):
                room[row[a, k]] -= 1.0 if ones else weight[a, k]
            if owns:
                use(a, 1.0, own_start, own_row, own_weight, left, own_first[u])
                if option.shape[0] > 0 and option[a] >= 0:
                    offer[u] = option[a]
