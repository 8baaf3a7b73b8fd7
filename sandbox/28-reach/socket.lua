-- attack: a socket
-- why: there is none
-- class: 28
-- expect: error ""

return ngx.socket.tcp()
