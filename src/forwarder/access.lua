-- keeps the body of the request for the log phase, if it has at most $LIMIT bytes
pcall(function()
  local kind = kong.request.get_header("content-type") or ""
  if kind:find("^application/grpc") or kong.request.get_header("upgrade") then
    return -- a stream: waiting for its end would stop it
  end
  local length = tonumber(kong.request.get_header("content-length") or "")
  local body = false -- larger
  if not length or length <= $LIMIT then
    -- Kong before 3.8 ignores the argument, and returns nil if the body is in a file
    body = kong.request.get_raw_body($LIMIT)
  end
  if body and #body > $LIMIT then
    body = false
  end
  ngx.ctx.logphase_request_body = body or false
end)
