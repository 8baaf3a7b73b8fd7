-- attack: opens a socket
-- why: ngx.socket is unavailable, and its use raises an error
-- class: 28
-- expect: error "ngx.socket.tcp is not available"

return ngx.socket.tcp()
