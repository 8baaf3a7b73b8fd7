-- attack: sends a subrequest to the proxy
-- why: subrequests are unavailable
-- class: 28
-- expect: error "ngx.location.capture is not available"

return ngx.location.capture('/admin')
