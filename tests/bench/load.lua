-- wrk script: sends the requests of the file REQUESTS in turn (records: length in decimal, line feed, that many bytes) and
-- prints one line of JSON at its end. The requests are made by tests/bench/requests.py.
local requests, next_one = {}, 0

function init()
  local file = assert(io.open(os.getenv("REQUESTS"), "rb"))
  for line in function() return file:read("*l") end do
    requests[#requests + 1] = file:read(tonumber(line))
  end
  file:close()
end

function request()
  next_one = next_one % #requests + 1
  return requests[next_one]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format('JSON {"requests":%d,"us":%d,"p50_us":%d,"p99_us":%d,"failed":%d}\n', summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
