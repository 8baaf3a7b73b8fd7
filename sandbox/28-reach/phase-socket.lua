-- attack: opens a socket in a phase in which nginx allows it
-- why: ngx.socket is unavailable in every phase
-- class: 28
-- expect: error "ngx.socket.tcp is not available"
-- settings: phase: access

return ngx.socket.tcp()
