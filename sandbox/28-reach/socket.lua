-- attack: a socket
-- why: there is none, and it says so
-- class: 28
-- expect: error "ngx.socket.tcp is not available"

return ngx.socket.tcp()
