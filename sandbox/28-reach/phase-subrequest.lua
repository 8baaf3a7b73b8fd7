-- attack: sends a subrequest in a phase in which nginx allows it
-- why: ngx.location is unavailable in every phase
-- class: 28
-- expect: error "ngx.location.capture is not available"
-- settings: phase: access

return ngx.location.capture('/secret')
