-- attack: passes host functions NaN, infinities and huge numbers
-- why: host functions validate numbers
-- class: 27
-- expect: value true

for _, n in pairs({0/0, 1/0, -1/0, 2^63, -2^63, 1e308}) do
  for _, f in pairs({kong.request.get_headers, kong.request.get_query, ngx.req.get_headers, ngx.req.get_uri_args, ngx.http_time, ngx.cookie_time, string.rep, string.char, table.concat, table.new, os.date, math.random, bit.tohex, bit.lshift, kong.node.get_memory_stats}) do pcall(f, n, n, n) end
end
return true
