-- attack: reaches unavailable modules through locals and pcall
-- why: each use raises an error, however the module is reached
-- class: 28
-- expect: value [false,false,false]

local s, t, d = ngx.socket, ngx.timer, kong.db
return {(pcall(function() return s.tcp() end)), (pcall(function() return t.at(0, print) end)), (pcall(function() return d.connector end))}
