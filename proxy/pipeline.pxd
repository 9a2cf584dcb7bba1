cimport cython

from .balancing.base cimport Balancer
from .ending cimport answer, drop_backend, finish, settle_keep
from .exchange cimport Client, Exchange, ReturnStage, Stage
from .http1.codec cimport RequestHead, ResponseHead
from .plan cimport Plan, RoutePlan
from .upstream.backend cimport Backend
from .upstream.connection cimport UpstreamConnection
from .upstream.pool cimport Pool

cdef int HOST, TRANSFER_ENCODING, UPGRADE, X_FORWARDED_HOST, H_MAX_FORWARDS, COPY_LIMIT, MOST_TRIES
cdef unsigned long long DROP_CODING, DROP_FRAMING, DROP_HOST, DROP_MAX_FORWARDS, NOTHING


@cython.locals(plan=Plan, client=Client, route=RoutePlan, first=Stage)
cpdef start(Exchange x)


cdef class Redirect(Stage):
    cdef public object reason
    cdef public str to


cdef class Fixed(Stage):
    cdef public object reason
    cdef public str lines
    cdef public bytes body


cdef class Admit(Stage):
    @cython.locals(head=RequestHead, route=RoutePlan, following=Stage)
    cpdef enter(self, Exchange x)


cdef class Pick(Stage):
    cdef public Balancer balancer
    cdef public object key
    @cython.locals(balancer=Balancer, backend=Backend, following=Stage)
    cpdef enter(self, Exchange x)


cdef class Connect(Stage):
    @cython.locals(backend=Backend, pool=Pool, connection=UpstreamConnection, following=Stage)
    cpdef enter(self, Exchange x)


cdef class Send(Stage):
    @cython.locals(connection=UpstreamConnection, route=RoutePlan, client=Client, block=bytes, path=bytes, head=bytes,
                   now=double, request=RequestHead, drop=cython.ulonglong, add_host=bint)
    cpdef enter(self, Exchange x)


cdef class Relay(ReturnStage):
    cdef public Stage pick, send
    cdef public bint only_backend
    @cython.locals(client=Client, route=RoutePlan, open_ended=bint, drop=cython.ulonglong, data=bytes)
    cpdef head(self, Exchange x, ResponseHead head, Py_ssize_t body_end, bint complete)
    @cython.locals(client=Client, route=RoutePlan, block=bytes)
    cpdef rebuild(self, Exchange x, ResponseHead head, Py_ssize_t body_end, bint open_ended, unsigned long long drop)
    @cython.locals(client=Client)
    cpdef data(self, Exchange x, data)
    @cython.locals(client=Client)
    cpdef end(self, Exchange x)
