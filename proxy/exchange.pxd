cimport cython

from .deadlines cimport Timed
from .http1.codec cimport HeaderEdits, RequestHead, ResponseHead
from .metrics cimport Counters
from .plan cimport Plan, RoutePlan
from .upstream.backend cimport Backend
from .upstream.connection cimport Requester, UpstreamConnection
from .upstream.group cimport Group
from .upstream.load.report cimport LoadReport
from .upstream.picker cimport Picker


cdef class Client(Timed):
    cdef public str address, scheme
    cdef public bytes forwarded, key
    cdef public unsigned long long forwarded_drop
    cdef public bint trusted, forwarded_host, forwarded_static, may_keep
    cdef public Counters counters
    cdef public object log
    cpdef send(self, data)
    cpdef send_pair(self, bytes head, body)
    cpdef finished(self, Exchange x, bint keep, double now)
    cpdef cut(self, bint reset)
    cpdef tunnel(self, double idle)
    cpdef end_tunnel(self)
    cpdef read_body(self)
    cpdef pause_reading(self)
    cpdef resume_reading(self)


cdef class Stage:
    cdef public Stage next
    cpdef enter(self, Exchange x)


cdef class ReturnStage:
    cpdef room(self, Exchange x)
    cpdef connected(self, Exchange x, UpstreamConnection connection)
    cpdef connect_failed(self, Exchange x, reason)
    cpdef interim(self, Exchange x, ResponseHead head)
    cpdef head(self, Exchange x, ResponseHead head, Py_ssize_t body_end, bint complete)
    cpdef data(self, Exchange x, data)
    cpdef end(self, Exchange x)
    cpdef failed(self, Exchange x, reason, bint silent)
    cpdef switched(self, Exchange x, ResponseHead head)


cdef class Exchange(Requester):
    cdef public RequestHead head
    cdef public Client client
    cdef public Plan plan
    cdef public RoutePlan route
    cdef public ReturnStage relay
    cdef public object balancer, body, reason, timer, hedge, trace
    cdef public Group group
    cdef public Picker picker
    cdef public list tried, kept, asked
    cdef public Backend backend
    cdef public UpstreamConnection upstream
    cdef public bytes payload, key, stuck
    cdef public HeaderEdits request_edits, response_edits
    cdef public bint waiting, queued, waited, resent, keep, responding, interim_sent, chunk_body
    cdef public int tries, status, beside
    cdef public LoadReport report
    cdef public long long serial
    cdef public double started, picked, headed, reached, queued_since
    cdef public long long bytes_in, bytes_out
    cdef public str backend_name, address

    cpdef begin(self, Client client, Plan plan, double now)
    cpdef refuse(self, Client client, Plan plan, double now)
    cpdef clear(self)
    cpdef str client_address(self)
    cpdef request_data(self, data)
    cpdef request_complete(self, double now)
