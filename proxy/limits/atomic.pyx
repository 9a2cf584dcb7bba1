"""Cells that more than one process writes: read whole, changed only by compare-and-swap.

Law of this file: the only cells of the scoreboard with more than one writer are changed here. It is compiled even
where everything else is interpreted: Python has no word for this.
"""

cdef extern from *:
    """
    static inline int qantara_swap(long long *cell, long long expected, long long wanted) {
        return __atomic_compare_exchange_n(cell, &expected, wanted, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    }
    static inline long long qantara_load(const long long *cell) {
        return __atomic_load_n(cell, __ATOMIC_ACQUIRE);
    }
    """
    bint qantara_swap(long long *cell, long long expected, long long wanted) nogil
    long long qantara_load(const long long *cell) nogil


cdef class AtomicCells:
    """A row of signed 64-bit cells."""

    def __init__(self, cells):
        self.cells = cells
        self.length = len(cells)

    cpdef long long get(self, Py_ssize_t at) except? -1:
        """The value of a cell. Raises IndexError."""
        if not 0 <= at < self.length:
            raise IndexError(at)
        return qantara_load(&self.cells[at])

    cpdef bint swap(self, Py_ssize_t at, long long expected, long long wanted) except -1:
        """Set a cell to `wanted` if it is still `expected`; False if it is not. Raises IndexError."""
        if not 0 <= at < self.length:
            raise IndexError(at)
        return qantara_swap(&self.cells[at], expected, wanted)
