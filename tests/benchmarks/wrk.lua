-- Sends each request of a file once, in its order; all of them are equally long.
-- Arguments: the file, the length of one request.
-- When none is left the thread stops, and `done` says so: such a round is no measurement.

local threads = {}

function setup(thread)
   table.insert(threads, thread)
end

function init(args)
   local file = assert(io.open(args[1], "rb"))
   requests = file:read("*a")
   file:close()
   size = tonumber(args[2])
   sent = -1 -- wrk asks for one before it starts, and does not send it
   is_empty = 0
end

function request()
   if sent < 0 then
      sent = 0
      return requests:sub(1, size)
   end
   if (sent + 1) * size > #requests then
      is_empty = 1 -- and the thread stops, but not before this request
      wrk.thread:stop()
      return requests:sub(1, size)
   end
   sent = sent + 1
   return requests:sub((sent - 1) * size + 1, sent * size)
end

function done(summary, latency, requests)
   local sent, is_empty = 0, 0
   for _, thread in ipairs(threads) do
      sent = sent + thread:get("sent")
      is_empty = is_empty + thread:get("is_empty")
   end
   local errors = summary.errors
   io.write(string.format(
      '{"duration_us": %d, "answered": %d, "refused": %d, "broken": %d, "sent": %d, '
      .. '"is_empty": %d, "p50_us": %d, "p99_us": %d}\n',
      summary.duration, summary.requests, errors.status,
      errors.connect + errors.read + errors.write + errors.timeout,
      sent, is_empty, latency:percentile(50), latency:percentile(99)))
end
