-- attack: a request to the proxy itself
-- why: there are no subrequests
-- class: 28
-- expect: error "ngx.location.capture is not available"

return ngx.location.capture('/admin')
