-- What wrk is told and asked: an optional POST body (LOAD_BODY_BYTES), and the summary as one line of JSON.
local size = tonumber(os.getenv("LOAD_BODY_BYTES") or "0")
if size > 0 then
   wrk.method = "POST"
   wrk.body = string.rep("x", size)
   wrk.headers["Content-Type"] = "application/octet-stream"
end

function done(summary, latency, requests)
   local e = summary.errors
   io.write(string.format(
      '\nSUMMARY {"requests":%d,"seconds":%.6f,"bytes":%d,"connect":%d,"read":%d,"write":%d,"timeout":%d,' ..
      '"status":%d,"p50_us":%.1f,"p99_us":%.1f,"max_us":%.1f}\n',
      summary.requests, summary.duration / 1e6, summary.bytes, e.connect, e.read, e.write, e.timeout, e.status,
      latency:percentile(50), latency:percentile(99), latency.max))
end
