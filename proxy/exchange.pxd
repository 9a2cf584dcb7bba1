cimport cython

from .deadlines cimport Timed
from .http.peer cimport Peer
from .http1.codec cimport HeaderEdits, RequestHead, ResponseHead
from .metrics cimport Counters
from .plan cimport Plan, RoutePlan
from .upstream.backend cimport Backend
from .upstream.group cimport Group
from .upstream.load.report cimport LoadReport
from .upstream.picker cimport Picker
from .upstream.ports cimport BodySource, OutgoingRequest, Requester, UpstreamStream



cdef ResponseStage NO_WAY_BACK


cdef class ClientStream(Timed):
    cdef public Peer peer
    cdef public Counters counters
    cdef public object log
    cdef public bint write_paused
    cpdef bint interim(self, Exchange x, ResponseHead head) except -1
    cpdef respond(self, Exchange x, ResponseHead head, Py_ssize_t body_end, bint complete)
    cpdef data(self, Exchange x, data)
    cpdef end(self, Exchange x, tuple trailers)
    cpdef Py_ssize_t local_reply(self, Exchange x, reply, bint close) except -1
    cpdef abort(self, Exchange x)
    cpdef reset(self, Exchange x)
    cpdef tunnel(self, Exchange x, ResponseHead head, bytes protocol, double idle)
    cpdef tunnel_data(self, Exchange x, data, double idle)
    cpdef end_tunnel(self, Exchange x)
    cpdef finished(self, Exchange x, double now)
    cpdef last(self)
    cpdef read_body(self)
    cpdef pause_reading(self)
    cpdef resume_reading(self)


cdef class Stage:
    cdef public Stage next
    cpdef enter(self, Exchange x)


cdef class End(Stage):
    pass


cdef class ResponseStage:
    cdef public ResponseStage next
    cpdef connected(self, Exchange x, UpstreamStream stream)
    cpdef connect_failed(self, Exchange x, reason)
    cpdef interim(self, Exchange x, ResponseHead head)
    cpdef head(self, Exchange x, ResponseHead head, Py_ssize_t body_end, bint complete)
    cpdef data(self, Exchange x, data)
    cpdef end(self, Exchange x, tuple trailers)
    cpdef failed(self, Exchange x, reason, bint silent)
    cpdef switched(self, Exchange x, ResponseHead head)


cdef class NoWayBack(ResponseStage):
    pass


cdef class Attempt(Requester):
    cdef public Exchange x
    cdef public Backend backend
    cdef public str backend_name
    cdef public object balancer, wait
    cdef public UpstreamStream upstream
    cdef public double picked, connected_at, head_at
    cdef public int in_flight_at_pick
    cdef public LoadReport report
    cpdef forget(self)


cdef class Exchange:
    cdef public RequestHead head
    cdef public OutgoingRequest outgoing
    cdef public Attempt first, attempt
    cdef public ClientStream client
    cdef public Plan plan
    cdef public RoutePlan route
    cdef public ResponseStage back
    cdef public Group group
    cdef public Picker picker
    cdef public BodySource source
    cdef public bytes key, sticky_token
    cdef public object body, hedge, wait, reason, trace
    cdef public list tried, attempted, replay_body
    cdef public HeaderEdits request_edits, response_edits
    cdef public bint request_done, upgrading, head_only, decode_body, http10, replayable, was_delayed, resent
    cdef public bint responding, interim_sent
    cdef public int tries, status
    cdef public long long serial, bytes_in, bytes_out
    cdef public double started, queued_since
    cdef public str address

    cpdef begin(self, ClientStream client, Plan plan, double now)
    cpdef refuse(self, ClientStream client, Plan plan, double now)
    cpdef clear(self)
    @cython.locals(peer=Peer)
    cpdef str client_address(self)
    cpdef take(self, UpstreamStream stream)
    cpdef let_go(self)
    @cython.locals(source=BodySource)
    cpdef drop_source(self)
    @cython.locals(upstream=UpstreamStream)
    cpdef request_data(self, data)
    @cython.locals(attempt=Attempt)
    cpdef request_complete(self, double now)
