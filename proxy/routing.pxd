cimport cython

from .http1.codec cimport RequestHead, matches_at


cdef class Candidate:
    cdef public long rank
    cdef public object methods, pattern, target
    cdef public tuple headers
    cdef public bint plain
    cpdef bint accepts(self, RequestHead head)


cdef class Node:
    cdef public bytes label
    cdef public dict children
    cdef public list exact, prefix, regex


@cython.locals(candidate=Candidate)
cpdef Candidate first_accepting(list candidates, RequestHead head)


cdef class PathTree:
    cdef public Node root
    @cython.locals(
        path=bytes, length=Py_ssize_t, at=Py_ssize_t, node=Node, child=Node, best=Candidate, found=Candidate,
        regexes=list,
    )
    cpdef Candidate find(self, RequestHead head)


cdef class RouteTable:
    cdef public dict exact_hosts, wildcards
    cdef public PathTree any_host
    @cython.locals(tree=PathTree, found=Candidate)
    cpdef find(self, RequestHead head)
    @cython.locals(tree=PathTree, found=Candidate, host=bytes, dot=Py_ssize_t)
    cpdef Candidate _find_wildcard(self, RequestHead head)
