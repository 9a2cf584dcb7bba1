"""The hash of placements and the filling of tables with up to millions of entries, in C.

Law of this file: functions over arrays, without names and keys, with the same result for the same input
everywhere. An owner is a place in the list of seeds, in 16 bits, so that there are few lines of memory for a lookup to
miss. Compiled even where everything else is interpreted, as a table takes Python a thousand times as long.

A name is a seed, the hash of its bytes, and everything that it needs more random numbers for comes from the
sequence of SplitMix64 that begins there (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA
2014): number k is mix(seed + k * GOLDEN).
"""

from array import array

import mmh3

from cpython.bytes cimport PyBytes_AS_STRING
from libc.math cimport HUGE_VAL, log
from libc.string cimport memcpy, memset

ctypedef unsigned long long Hash
ctypedef unsigned short Owner

cdef enum:
    NOBODY = 0xFFFF
    OWNER_BITS = 16
    PER_BUCKET = 4
    HEAP_BITS = 6
    HEAPS = 64

cdef Hash GOLDEN = 0x9E3779B97F4A7C15ULL
cdef double TO_ONE = 2.0 ** -53
cdef object digest = mmh3.mmh3_x64_128_digest


cpdef Hash hash_of(bytes key) except? 0:
    """64 bits of a key: the first half of MurmurHash3's x64 128-bit digest."""
    cdef bytes found = digest(key)
    cdef Hash number
    memcpy(&number, PyBytes_AS_STRING(found), sizeof(number))
    return number


cdef inline Hash mix(Hash z) noexcept nogil:
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL
    return z ^ (z >> 31)


cpdef Hash next_hash(Hash number) noexcept:
    """The number after this one in a fixed pseudo-random sequence."""
    return mix(number + GOLDEN)


cpdef tuple ring(seeds, counts):
    """A ring with `counts[i]` points for `seeds[i]`: the points in ascending order, each with its owner as the last 16
    bits; where those begin whose topmost bits are 0, 1, 2 and so on; and by how many bits a place is to be shifted to get
    these. There are about PER_BUCKET points for each: that many share a cache line, and all the beginnings stay in the
    cache.

    As points are spread evenly, sorting is dealing them out: by their topmost bits into heaps that fit into the
    processor's cache, then by some more of them, which leaves a few together.
    """
    cdef const Hash[::1] seed = seeds
    cdef const int[::1] count = counts
    cdef Py_ssize_t i, k, at, bucket, total = 0, buckets = HEAPS
    cdef int shift = 64 - HEAP_BITS
    cdef Hash point
    for i in range(count.shape[0]):
        total += count[i]
    while buckets * PER_BUCKET < total:
        buckets *= 2
        shift -= 1
    points, starts = array("Q", bytes(8 * total)), array("i", bytes(4 * (buckets + 1)))
    if not total:
        return points, starts, shift
    dealt_points, fills = points[:], starts[:]
    cdef Hash[::1] dealt = dealt_points, ordered = points
    cdef int[::1] start = starts, fill = fills
    cdef Py_ssize_t heaps[HEAPS + 1]
    with nogil:
        memset(heaps, 0, sizeof(heaps))
        for i in range(count.shape[0]):
            for k in range(1, count[i] + 1):
                heaps[<Py_ssize_t>(mix(seed[i] + <Hash>k * GOLDEN) >> (64 - HEAP_BITS)) + 1] += 1
        for bucket in range(HEAPS):
            heaps[bucket + 1] += heaps[bucket]
        for i in range(count.shape[0]):
            for k in range(1, count[i] + 1):
                point = mix(seed[i] + <Hash>k * GOLDEN)
                bucket = <Py_ssize_t>(point >> (64 - HEAP_BITS))
                dealt[heaps[bucket]] = (point >> OWNER_BITS << OWNER_BITS) | <Hash>i
                heaps[bucket] += 1
        for k in range(total):
            start[<Py_ssize_t>(dealt[k] >> shift) + 1] += 1
        for bucket in range(buckets):
            start[bucket + 1] += start[bucket]
            fill[bucket] = start[bucket]
        for k in range(total):
            point = dealt[k]
            bucket = <Py_ssize_t>(point >> shift)
            at = fill[bucket]
            fill[bucket] += 1
            while at > start[bucket] and ordered[at - 1] > point:
                ordered[at] = ordered[at - 1]
                at -= 1
            ordered[at] = point
    return points, starts, shift


cpdef object maglev(seeds, weights, int size, int rest):
    """The owner of each of `size` entries, a prime number: in a turn an owner takes the next free entry of its own
    order, and turns come in proportion to `weights`, in the order of the seeds. The last `rest` entries are not taken in
    turns: each belongs to the owner of the slot of `darts` that it falls into."""
    cdef const Hash[::1] seed = seeds
    cdef const double[::1] weight = weights
    cdef Py_ssize_t i, n = seed.shape[0], left = size if n else 0
    cdef int entry, bits = max(1, (rest - 1).bit_length())
    cdef double turn = 0.0, most = 0.0
    owners, slots = array("H", [NOBODY]) * size, darts(seeds, weights, bits)
    entries, skips, targets = array("i", bytes(4 * n)), array("i", bytes(4 * n)), array("d", bytes(8 * n))
    cdef Owner[::1] owner = owners, slot = slots
    cdef int[::1] at = entries, skip = skips
    cdef double[::1] target = targets
    with nogil:
        for i in range(n):
            at[i] = <int>(mix(seed[i] + GOLDEN) % <Hash>size)
            skip[i] = <int>(mix(seed[i] + 2 * GOLDEN) % <Hash>(size - 1)) + 1
            most = max(most, weight[i])
        while left > rest:
            turn += 1.0
            for i in range(n):
                if turn * weight[i] < target[i]:
                    continue
                target[i] += most
                entry = at[i]
                while owner[entry] != NOBODY:
                    entry += skip[i]
                    if entry >= size:
                        entry -= size
                owner[entry] = <Owner>i
                at[i] = entry
                left -= 1
                if left <= rest:
                    break
        for entry in range(size):
            if owner[entry] == NOBODY:
                owner[entry] = slot[(<Hash>entry << bits) / <Hash>size]
    return owners


cpdef object darts(seeds, weights, int bits):
    """The owner of each of 2 ** `bits` slots: each owner throws a dart at a random slot every 1 / weight seconds, from a
    start of its own on, and a slot belongs to the first one that hits it.

    Times and slots of an owner depend on its own seed alone, so a slot changes its owner only to or from one that comes,
    goes, or changes its weight. All slots are hit after about size * ln(size) darts, independent of the number of
    owners.
    """
    cdef const Hash[::1] seed = seeds
    cdef const double[::1] weight = weights
    cdef Py_ssize_t i, slot, n = seed.shape[0], size = <Py_ssize_t>1 << bits, left = size
    cdef int shift = 64 - bits
    cdef double total = 0.0, until, moment, phase, each
    cdef Hash number, own
    owners, thrown = array("H", [NOBODY]) * size, array("Q", bytes(8 * n))
    moments = array("d", [HUGE_VAL]) * size
    if not n:
        return owners
    cdef Owner[::1] owner = owners
    cdef Hash[::1] count = thrown
    cdef double[::1] best = moments
    with nogil:
        for i in range(n):
            total += weight[i]
        until = size * (log(<double>size) + 1.0) / total
        while left:
            for i in range(n):
                number, own, each = count[i], seed[i], 1.0 / weight[i]
                phase = (mix(own) >> 11) * TO_ONE
                moment = (number + phase) * each
                while moment < until:
                    number += 1
                    slot = <Py_ssize_t>(mix(own + number * GOLDEN) >> shift)
                    if moment < best[slot]:
                        left -= owner[slot] == NOBODY
                        owner[slot] = <Owner>i
                        best[slot] = moment
                    moment = (number + phase) * each
                count[i] = number
            until += size / total
    return owners


cpdef object tally(owners, Py_ssize_t count):
    """The number of table entries of each of `count` owners."""
    cdef const Owner[::1] owner = owners
    cdef Py_ssize_t entry
    found = array("q", bytes(8 * count))
    cdef long long[::1] has = found
    for entry in range(owner.shape[0] if count else 0):
        has[owner[entry]] += 1
    return found


cpdef object arcs(points, Py_ssize_t count):
    """The share of a ring of each of `count` owners: an arc ends at its point, and begins behind the point before."""
    cdef const Hash[::1] point = points
    cdef Py_ssize_t at, last = point.shape[0] - 1
    found = array("d", bytes(8 * count))
    cdef double[::1] has = found
    for at in range(last + 1):
        has[point[at] & NOBODY] += <double>(point[at] - point[at - 1 if at else last]) * 2.0 ** -64
    if last == 0:
        has[point[0] & NOBODY] = 1.0
    return found
