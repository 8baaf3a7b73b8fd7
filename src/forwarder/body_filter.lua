-- keeps the body of the response for the log phase, if it has at most $LIMIT bytes, and holds up none of it
local kept = ngx.ctx.$NAME
if kept == nil then
  kept = { size = 0 }
  ngx.ctx.$NAME = kept
end
local chunk = ngx.arg[1]
if kept and type(chunk) == "string" and chunk ~= "" then
  kept.size = kept.size + #chunk
  if kept.size > $LIMIT then
    ngx.ctx.$NAME = false -- larger
  else
    kept[#kept + 1] = chunk
  end
end
