"""Every problem that a configuration can have, with the exact line of the report."""

from __future__ import annotations

import pytest

from proxy.configuration.load import load_text
from proxy.errors import ConfigError

HEAD = 'listeners: [{bind: ":0"}]\n'
UPSTREAMS = "upstreams: {app: {backends: [127.0.0.1:9001]}}\n"
ROUTES = "routes: [{upstream: app}]\n"


def report(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_text(text, "c.yaml", ["round_robin", "least_connections"])
    return [str(problem) for problem in caught.value.problems]


def top(line: str) -> str:
    """A file with one more line at the top level, which is line 4."""
    return HEAD + UPSTREAMS + ROUTES + line


def listener(text: str) -> str:
    """The listener begins in column 13 of line 3."""
    return UPSTREAMS + ROUTES + f"listeners: [{text}]"


def upstream(text: str) -> str:
    """The upstream `x` begins in column 6 of line 5."""
    return HEAD + ROUTES.replace("app", "x") + f"upstreams:\n  # {'-' * 10}\n  x: {text}"


def route(text: str) -> str:
    """The route begins in column 3 of line 4."""
    return HEAD + UPSTREAMS + f"routes:\n- {text}"


NO_FILE = "the path of a file must not hold control characters"


def chaos(text: str) -> str:
    """The section `chaos` begins in column 8 of line 4."""
    return top(f"chaos: {{{text}}}")


SYNTAX = {
    "": "c.yaml: the file is empty; it needs listeners, upstreams and routes",
    "# nothing\n": "c.yaml: the file is empty; it needs listeners, upstreams and routes",
    "- a": "c.yaml:1:1: must be a mapping with the keys listeners, upstreams and routes",
    "text": "c.yaml:1:1: must be a mapping with the keys listeners, upstreams and routes",
    "a: b: c": ('c.yaml:1:5: not valid YAML: a ": " is not expected here; check the indentation, or quote the value'),
    "a: [::1]:80": (
        "c.yaml:1:9: not valid YAML: this does not continue what stands before; check the indentation and the quotes"
    ),
    "a: 'x": ("c.yaml:1:6: not valid YAML: the file ends inside a quoted text; the closing quote is missing"),
    "a: {b: c": "c.yaml:1:9: not valid YAML: the file ends too early; a closing bracket is missing",
    "a:\n\t- b": (
        "c.yaml:2:1: not valid YAML: this character cannot begin a value; indent with spaces, quote the value"
    ),
    "a: {b: :80}": "c.yaml:1:8: not valid YAML: a value is missing here, or must be quoted",
    "a:\n- b\nc d\ne: f": "c.yaml:4:1: not valid YAML: a key without a colon, or a wrong indentation",
    "a: *b": "c.yaml:1:4: not valid YAML: this alias has no anchor before it",
    "a: b\n---\nc: d": 'c.yaml:2:1: not valid YAML: the file must hold one document; remove the "---"',
    "a: \x07": "c.yaml:1:4: this character is not allowed in YAML; write it as an escape",
    "{a: " * 5000: "c.yaml: the values are nested too deeply",
}


@pytest.mark.parametrize("text", SYNTAX, ids=lambda text: repr(text[:20]))
def test_what_is_no_yaml(text: str) -> None:
    assert report(text) == [SYNTAX[text]]


ONE_PROBLEM = [
    # chaos
    (
        chaos("enabled: true"),
        "c.yaml:4:8: chaos: needs audit where it is enabled: a file that experiments are written down in",
    ),
    (
        chaos("monkey: {from_hour: 15}"),
        "c.yaml:4:17: chaos.monkey: from_hour has to be before to_hour: 15 is not before 15",
    ),
    (
        chaos("rules: [{name: a, fault: truncate, stage: send}]"),
        "c.yaml:4:17: chaos.rules[0]: truncate cannot happen at send; it can at relay",
    ),
    (
        chaos("rules: [{name: a, fault: worker_kill, stage: send}]"),
        "c.yaml:4:17: chaos.rules[0]: worker_kill happens at no stage; leave stage out",
    ),
    (
        chaos("rules: [{name: a, fault: abort, stage: pick, match: {backends: [127.0.0.1:1]}}]"),
        "c.yaml:4:17: chaos.rules[0]: at pick no backend is picked yet; name backends at connect, send or relay",
    ),
    (
        chaos("rules: [{name: a, fault: corrupt_header, header: Content-Length}]"),
        "c.yaml:4:17: chaos.rules[0]: Content-Length frames the message; name a header that does not",
    ),
    (
        chaos("rules: [{name: a, fault: reset}, {name: a, fault: reset}]"),
        'c.yaml:4:49: chaos.rules[1].name: "a" is given twice; the first is chaos.rules[0]',
    ),
    (
        chaos("rules: [{name: a, fault: reset, match: {upstreams: [ap]}}]"),
        'c.yaml:4:61: chaos.rules[0].match.upstreams[0]: there is no upstream "ap" (did you mean app?)',
    ),
    (
        chaos("rules: [{name: a b, fault: reset}]"),
        'c.yaml:4:24: chaos.rules[0].name: "a b" is no name; use up to 64 letters, digits, _, . and -',
    ),
    (
        chaos("rules: [{name: a, fault: delay, pareto: x}]"),
        'c.yaml:4:49: chaos.rules[0].pareto: must be a number, not "x"',
    ),
    # YAML that can be read, but not used
    (top("via: a\nvia: b"), "c.yaml:5:1: via: is given twice; the first is in line 4"),
    (top("via: !x a"), 'c.yaml:4:6: via: the tag "!x" is not supported; remove it'),
    (top('via: "\\ud800"'), "c.yaml:4:6: via: holds half of a surrogate pair, which is no character"),
    (
        top(f"workers: 1{'0' * 30}"),
        f'c.yaml:4:10: workers: "1{"0" * 30}" is no number that can be used here',
    ),
    (top("workers: .nan"), 'c.yaml:4:10: workers: ".nan" is no number that can be used here'),
    (top("cache: {[a]: b}"), "c.yaml:4:9: cache: a key must be plain text; quote it"),
    (top("cache: &a {b: *a}"), "c.yaml:4:8: cache.b: an alias must not be part of what it stands for"),
    (
        top("<<: {via: a}"),
        'c.yaml:4:1: "<<": merge keys are not supported (YAML 1.2 has none); repeat the keys, or alias the whole value',
    ),
    # keys
    (HEAD + UPSTREAMS, "c.yaml:1:1: routes: is missing; write routes: [{path: /, upstream: app}]"),
    (UPSTREAMS + ROUTES, "c.yaml:1:1: listeners: is missing; write listeners: [{bind: 127.0.0.1:8080}]"),
    (top("worker: 2"), "c.yaml:4:1: worker: is no known key (did you mean workers?)"),
    (top("zzz: 2"), "c.yaml:4:1: zzz: is no known key"),
    (top("timeouts: {hed: 1s}"), "c.yaml:4:12: timeouts.hed: is no known key (did you mean head?)"),
    (
        upstream("{backends: [a:1], timeouts: {zzz: 1s}}"),
        "c.yaml:5:35: upstreams.x.timeouts.zzz: is no known key; there are connect, response_head, response_idle",
    ),
    (
        upstream("{backends: [{address: a:1, wieght: 2}]}"),
        "c.yaml:5:33: upstreams.x.backends[0].wieght: is no known key (did you mean weight?)",
    ),
    (
        route("{upstream: app, headers: {x: {presnt: true}}}"),
        "c.yaml:4:33: routes[0].headers.x.presnt: is no known key (did you mean present?)",
    ),
    (route("{upstrem: app}"), "c.yaml:4:4: routes[0].upstrem: is no known key (did you mean upstream?)"),
    # types
    (top("workers: two"), 'c.yaml:4:10: workers: must be a number from 1 to 1024 or auto, not "two"'),
    (top("workers: 0"), "c.yaml:4:10: workers: must be a number from 1 to 1024 or auto, not the number 0"),
    (top("via: 3"), "c.yaml:4:6: via: must be text, not the number 3; put it in quotes"),
    (
        top("via: a b"),
        'c.yaml:4:6: via: "a b" is no token; only letters, digits and !#$%&\'*+-.^_`|~ may occur',
    ),
    (top("limits:"), "c.yaml:4:8: limits: has no value; it must be a mapping of keys to values"),
    (top("limits: []"), "c.yaml:4:9: limits: must be a mapping of keys to values, not a list"),
    (top("cache: x"), 'c.yaml:4:8: cache: must be a mapping of keys to values, not "x"'),
    (top("trusted_proxies: ::1"), 'c.yaml:4:18: trusted_proxies: must be a list, not "::1"; write ["::1"]'),
    (
        top("trusted_proxies: [10.0.0.0/33]"),
        "c.yaml:4:19: trusted_proxies[0]: must be a network such as 10.0.0.0/8, 192.0.2.7 or fd00::/8, "
        'not "10.0.0.0/33"',
    ),
    (
        top("forwarded: x-forward"),
        "c.yaml:4:12: forwarded: must be x-forwarded, rfc7239, both or none, "
        'not "x-forward" (did you mean x-forwarded?)',
    ),
    (
        top("access_log: {format: apache}"),
        'c.yaml:4:22: access_log.format: must be json or combined, not "apache"',
    ),
    (top('access_log: {path: ""}'), "c.yaml:4:20: access_log.path: must not be empty"),
    (top('access_log: {path: "a\\0b"}'), f"c.yaml:4:20: access_log.path: {NO_FILE}"),
    (chaos('audit: "/a\\nb"'), f"c.yaml:4:16: chaos.audit: {NO_FILE}"),
    (top('admin: {bind: ":1", token_file: "/\\0"}'), f"c.yaml:4:33: admin.token_file: {NO_FILE}"),
    (top('admin: {bind: "[::1]:1", token_file: ""}'), "c.yaml:4:38: admin.token_file: must not be empty"),
    (upstream('{discover: {file: "\\x7f"}}'), f"c.yaml:5:24: upstreams.x.discover.file: {NO_FILE}"),
    (
        top('rate_limits: {a: {rate: 1/s, shared: "unix:///\\0"}}'),
        "c.yaml:4:38: rate_limits.a.shared: must be redis://host:port/database, rediss://… or unix://…, "
        'not "unix:///\\x00"',
    ),
    (
        top("limits: {header_count: 1.5}"),
        "c.yaml:4:24: limits.header_count: must be a whole number, not the number 1.5",
    ),
    (
        top('limits: {connections: "5"}'),
        'c.yaml:4:23: limits.connections: must be a whole number, not "5"; remove the quotes',
    ),
    (
        top("limits: {connections: true}"),
        "c.yaml:4:23: limits.connections: must be a whole number, not true",
    ),
    (
        top("limits: {connections: 0}"),
        "c.yaml:4:23: limits.connections: must be greater than 0, not the number 0",
    ),
    (
        top("limits: {connections: 3000000000}"),
        "c.yaml:4:23: limits.connections: must be at most 2147483647, not the number 3000000000",
    ),
    (
        route("{upstream: app, cache: 'yes'}"),
        'c.yaml:4:26: routes[0].cache: must be true or false, not "yes"',
    ),
    # durations and sizes
    (
        top("timeouts: {head: 10}"),
        "c.yaml:4:18: timeouts.head: a duration needs a unit; write 10s for seconds or 10ms for milliseconds",
    ),
    (
        top("timeouts: {head: 10 s}"),
        'c.yaml:4:18: timeouts.head: must be a duration such as 250ms, 2s, 5m or 1h, not "10 s"',
    ),
    (
        top("timeouts: {head: 0}"),
        "c.yaml:4:18: timeouts.head: must be greater than 0; where no limit is wanted, write a long one such as 24h",
    ),
    (top("timeouts: {head: -1}"), "c.yaml:4:18: timeouts.head: must be greater than 0"),
    (
        top("timeouts: {head: 9000h}"),
        'c.yaml:4:18: timeouts.head: "9000h" is longer than a year, the longest duration allowed (8760h)',
    ),
    (
        top("limits: {body_size: 64 kb}"),
        "c.yaml:4:21: limits.body_size: must be a size such as 64KiB, 1MiB, 1GiB or a number of bytes, "
        'not "64 kb" (did you mean 64KiB?)',
    ),
    (top("limits: {body_size: 0}"), "c.yaml:4:21: limits.body_size: must be greater than 0"),
    (top("limits: {body_size: 2000TiB}"), "c.yaml:4:21: limits.body_size: must be at most 1024TiB"),
    (
        top("limits: {head_size: 1GiB}"),
        "c.yaml:4:21: limits.head_size: must be at most 16MiB: every connection may take that much memory",
    ),
    # listeners
    (top("").replace('[{bind: ":0"}]', "[]"), "c.yaml:1:12: listeners: must not be empty"),
    (listener("{}"), "c.yaml:3:13: listeners[0].bind: is missing; write bind: 127.0.0.1:8080"),
    (
        listener("{bind: 8080}"),
        "c.yaml:3:20: listeners[0].bind: must be an address such as 127.0.0.1:8080 or unix:/run/app.sock, "
        "not the number 8080",
    ),
    (
        listener('{bind: "*:80"}'),
        'c.yaml:3:20: listeners[0].bind: write ":80" to listen on all addresses',
    ),
    (
        listener('{bind: ":65536"}'),
        'c.yaml:3:20: listeners[0].bind: the port must be a number from 0 to 65535, not "65536"',
    ),
    (
        listener('{bind: "::1"}'),
        'c.yaml:3:20: listeners[0].bind: an IPv6 address needs brackets and a port; write "[::1]:8080"',
    ),
    (
        listener('{bind: "[::x]:1"}'),
        'c.yaml:3:20: listeners[0].bind: "[::x]" is no IPv6 address in brackets, such as [::1]',
    ),
    (
        listener('{bind: "10.0.0.256:1"}'),
        'c.yaml:3:20: listeners[0].bind: "10.0.0.256" is neither an IP address nor a host name',
    ),
    (
        listener('{bind: "unix:a.sock"}'),
        "c.yaml:3:20: listeners[0].bind: the path of a unix socket must begin with /, as in unix:/a.sock",
    ),
    (
        listener(f'{{bind: "unix:/{"a" * 107}"}}'),
        "c.yaml:3:20: listeners[0].bind: the path of a unix socket must be at most 107 bytes long",
    ),
    (
        listener('{bind: "unix:/a\\nb"}'),
        "c.yaml:3:20: listeners[0].bind: the path of a unix socket holds a control character",
    ),
    (
        listener('{bind: "[::1]:80"}, {bind: "[0::1]:80"}'),
        "c.yaml:3:40: listeners[1].bind: [::1]:80 is given twice; the first is listeners[0]",
    ),
    # upstreams
    (
        HEAD + "upstreams: {a b: {backends: [a:1]}}\nroutes: [{respond: {}}]",
        "c.yaml:2:13: upstreams.\"a b\": \"a b\" is no name: at most 64 letters, digits, '_', '-' and '.'",
    ),
    (
        upstream("{}"),
        "c.yaml:5:6: upstreams.x.backends: is missing; write backends: [127.0.0.1:9001], "
        "or discover: {dns: app.internal:9001}",
    ),
    (upstream("{backends: []}"), "c.yaml:5:17: upstreams.x.backends: must not be empty without discover"),
    (upstream("{backends: null}"), "c.yaml:5:17: upstreams.x.backends: has no value; it must be a list"),
    (upstream("7"), "c.yaml:5:6: upstreams.x: must be a mapping of keys to values, not the number 7"),
    (
        upstream("{backends: [{weight: 2}]}"),
        "c.yaml:5:18: upstreams.x.backends[0].address: is missing; write address: 127.0.0.1:9001",
    ),
    (
        upstream("{backends: [{address: a:1, weight: 257}]}"),
        "c.yaml:5:41: upstreams.x.backends[0].weight: must be at most 256, not the number 257",
    ),
    (
        upstream("{backends: [{address: a:1, weight: -1}]}"),
        "c.yaml:5:41: upstreams.x.backends[0].weight: must be at least 0, not the number -1",
    ),
    (
        upstream("{backends: [http://a:1]}"),
        "c.yaml:5:18: upstreams.x.backends[0]: must be host:port without a scheme, such as 127.0.0.1:9001, "
        'not "http://a:1"',
    ),
    (
        upstream("{backends: [localhost]}"),
        "c.yaml:5:18: upstreams.x.backends[0]: the port is missing; "
        "write host:port, such as 127.0.0.1:9001, or unix:/path",
    ),
    (
        upstream('{backends: [":80"]}'),
        "c.yaml:5:18: upstreams.x.backends[0]: the host is missing; write host:port, such as 127.0.0.1:9001",
    ),
    (
        upstream('{backends: ["a:0"]}'),
        'c.yaml:5:18: upstreams.x.backends[0]: the port must be a number from 1 to 65535, not "0"',
    ),
    (
        upstream("{backends: [a:1, {address: A:1}]}"),
        "c.yaml:5:33: upstreams.x.backends[1].address: a:1 is given twice; the first is upstreams.x.backends[0]",
    ),
    (
        upstream("{backends: [a:1], balance: round_robbin}"),
        'c.yaml:5:33: upstreams.x.balance: there is no algorithm "round_robbin" (did you mean round_robin?)',
    ),
    (
        upstream("{backends: [a:1], balance: {algorithm: zzz}}"),
        'c.yaml:5:45: upstreams.x.balance.algorithm: there is no algorithm "zzz"; '
        "there are round_robin, least_connections",
    ),
    (
        upstream("{backends: [a:1], balance: 'a.b:'}"),
        'c.yaml:5:33: upstreams.x.balance: must be the name of an algorithm or "module:Class", not "a.b:"',
    ),
    (
        upstream("{backends: [a:1], balance: {}}"),
        "c.yaml:5:33: upstreams.x.balance.algorithm: is missing; write algorithm: round_robin",
    ),
    (
        upstream("{backends: [a:1], balance: {algorithm: m:C, key: x}}"),
        "c.yaml:5:55: upstreams.x.balance.key: must be client_ip, header:NAME, query:NAME, cookie:NAME or path:NAME, "
        'not "x"',
    ),
    (
        upstream("{backends: [a:1], pool: {min: 3, max: 2}}"),
        "c.yaml:5:36: upstreams.x.pool.min: must be at most pool.max, which is 2; not 3",
    ),
    # not part of this version
    (top("shards: {}"), "c.yaml:4:9: shards: shard routing is not part of this version"),
    (route("{shard: a}"), "c.yaml:4:11: routes[0].shard: shard routing is not part of this version"),
    # routes: conditions
    (HEAD + UPSTREAMS + "routes: []", "c.yaml:3:9: routes: must not be empty"),
    (
        route("{upstream: ap}"),
        'c.yaml:4:14: routes[0].upstream: there is no upstream "ap" (did you mean app?)',
    ),
    (
        route("{upstream: zzz}"),
        'c.yaml:4:14: routes[0].upstream: there is no upstream "zzz"; there is app',
    ),
    (
        route("{path: /}"),
        "c.yaml:4:3: routes[0]: the route has no action; give one of upstream, redirect and respond",
    ),
    (
        route("{upstream: app, respond: {}}"),
        "c.yaml:4:19: routes[0].respond: excludes upstream; give one of upstream, redirect and respond",
    ),
    (
        route("{path: /, exact: /, upstream: app}"),
        "c.yaml:4:13: routes[0].exact: excludes path; give one of path, exact and regex",
    ),
    (route("{path: a, upstream: app}"), 'c.yaml:4:10: routes[0].path: must begin with "/"; write "/a"'),
    (
        route("{path: /a?b, upstream: app}"),
        'c.yaml:4:10: routes[0].path: must be a path only; "?" does not belong there',
    ),
    (
        route("{path: /\u00fc, upstream: app}"),
        'c.yaml:4:10: routes[0].path: must be percent-encoded; write "/%C3%BC"',
    ),
    (
        route("{path: /%zz, upstream: app}"),
        'c.yaml:4:10: routes[0].path: a "%" must be followed by two hexadecimal digits; '
        'for the sign itself write "%25"',
    ),
    (
        route("{path: /a/../b, upstream: app}"),
        'c.yaml:4:10: routes[0].path: must not hold "//", "/./" or "/../": '
        "requests are matched after those are resolved",
    ),
    (
        route("{regex: (, upstream: app}"),
        "c.yaml:4:11: routes[0].regex: is no valid regular expression: "
        "missing ), unterminated subpattern at position 0",
    ),
    (
        route("{host: 'a.b:80', upstream: app}"),
        'c.yaml:4:10: routes[0].host: must not have a port; write "a.b"',
    ),
    (
        route("{host: a.b., upstream: app}"),
        'c.yaml:4:10: routes[0].host: must not end in a dot; write "a.b"',
    ),
    (
        route("{host: a.*, upstream: app}"),
        'c.yaml:4:10: routes[0].host: must be "*", a host name such as example.com, or "*.example.com", not "a.*"',
    ),
    (route("{methods: [], upstream: app}"), "c.yaml:4:13: routes[0].methods: must not be empty"),
    (
        route("{headers: {x: {}}, upstream: app}"),
        "c.yaml:4:17: routes[0].headers.x: needs exactly one of exact, present and regex",
    ),
    (
        route("{headers: {X-a: a, x-A: b}, upstream: app}"),
        "c.yaml:4:22: routes[0].headers.x-A: is the same header as X-a",
    ),
    # routes: changes of the path and the headers
    (
        route("{path: /api, strip_prefix: /ap, upstream: app}"),
        'c.yaml:4:30: routes[0].strip_prefix: must be a prefix of path, which is "/api"',
    ),
    (
        route("{strip_prefix: /ap, upstream: app}"),
        'c.yaml:4:18: routes[0].strip_prefix: must be a prefix of path, which is "/"',
    ),
    (
        route("{path: /api, replace_prefix: {from: /b, to: /c}, upstream: app}"),
        'c.yaml:4:39: routes[0].replace_prefix.from: must be a prefix of path, which is "/api"',
    ),
    (
        route("{path: /api, replace_prefix: {from: /api}, upstream: app}"),
        "c.yaml:4:32: routes[0].replace_prefix.to: is missing; write to: /new",
    ),
    (
        route("{path: /a, strip_prefix: /a, replace_prefix: {from: /a, to: /b}, upstream: app}"),
        "c.yaml:4:32: routes[0].replace_prefix: excludes strip_prefix; give one of the two",
    ),
    (
        route("{strip_prefix: /, respond: {}}"),
        "c.yaml:4:4: routes[0].strip_prefix: needs upstream: nothing else has its path changed",
    ),
    (
        route("{upstream: app, request_headers: {set: {TE: x}}}"),
        "c.yaml:4:43: routes[0].request_headers.set.TE: TE cannot be changed: the proxy writes it for each connection",
    ),
    (
        route("{upstream: app, request_headers: {remove: [Host]}}"),
        "c.yaml:4:46: routes[0].request_headers.remove[0]: "
        "Host cannot be changed here; it can be set in request_headers.set",
    ),
    (
        route("{upstream: app, request_headers: {set: {a: b, A: c}}}"),
        "c.yaml:4:49: routes[0].request_headers.set.A: is the same header as a",
    ),
    (
        route('{upstream: app, response_headers: {append: {a: "b\\nc"}}}'),
        "c.yaml:4:50: routes[0].response_headers.append.a: "
        "the value of a header must not hold control characters or line ends",
    ),
    (
        route('{upstream: app, response_headers: {set: {a: " b"}}}'),
        "c.yaml:4:47: routes[0].response_headers.set.a: the value of a header must not begin or end with a space",
    ),
    (
        route("{upstream: app, response_headers: {set: {a: \u00fc}}}"),
        "c.yaml:4:47: routes[0].response_headers.set.a: the value of a header must be ASCII (RFC 9110 5.5)",
    ),
    (
        route("{upstream: app, upgrades: [h2c]}"),
        "c.yaml:4:30: routes[0].upgrades[0]: h2c cannot be allowed: the requests inside would pass by every route",
    ),
    # routes: own answers
    (
        route("{redirect: {to: '{hst}'}}"),
        'c.yaml:4:19: routes[0].redirect.to: "{hst}" is no placeholder; there are {host}, {path}, {query}',
    ),
    (
        route("{redirect: {to: ftp://a}}"),
        'c.yaml:4:19: routes[0].redirect.to: must begin with "http://", "https://" or "/", not "ftp://a"',
    ),
    (route("{redirect: {to: /a b}}"), "c.yaml:4:19: routes[0].redirect.to: must not hold a space; write %20"),
    (
        route("{redirect: {to: /, status: 300}}"),
        "c.yaml:4:30: routes[0].redirect.status: must be 301, 302, 303, 307 or 308, not the number 300",
    ),
    (
        route("{respond: {status: 100}}"),
        "c.yaml:4:22: routes[0].respond.status: must be at least 200, not the number 100",
    ),
    (
        route("{respond: {status: 204, body: a}}"),
        "c.yaml:4:33: routes[0].respond.body: a response with status 204 has no body",
    ),
    (
        route("{respond: {headers: {Content-Type: a}}}"),
        "c.yaml:4:24: routes[0].respond.headers.Content-Type: Content-Type has a key of its own; write content_type",
    ),
]


@pytest.mark.parametrize(("text", "line"), ONE_PROBLEM, ids=[line.partition(": ")[2] for _, line in ONE_PROBLEM])
def test_one_problem(text: str, line: str) -> None:
    assert report(text) == [line]


def test_all_problems_at_once_in_the_order_of_the_file() -> None:
    text = """\
listeners: [{bind: 127.0.0.1:x}]
workers: none
workers: 2
upstreams: {app: {backends: [a:1, a:1], balanse: round_robin}}
timeouts: {head: 3}
routes:
- {upstream: ap, path: /, regex: (}
- {respond: {status: 1}}
"""
    assert [line.split(" ", 1)[0] for line in report(text)] == [
        "c.yaml:1:20:",
        "c.yaml:2:10:",
        "c.yaml:3:1:",
        "c.yaml:4:35:",
        "c.yaml:4:41:",
        "c.yaml:5:18:",
        "c.yaml:7:14:",
        "c.yaml:7:27:",
        "c.yaml:7:34:",
        "c.yaml:8:22:",
    ]


def test_an_alias_bomb_is_refused() -> None:
    levels = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 40)]
    assert report("\n".join(["a0: &a0 [x]", *levels])) == [
        "c.yaml: holds more than 500000 values, aliases counted in full"
    ]


def test_control_characters_do_not_reach_the_report() -> None:
    (line,) = report(top(r'"a\e[31mb": 1'))
    assert line == r'c.yaml:4:1: "a\x1b[31mb": is no known key'
