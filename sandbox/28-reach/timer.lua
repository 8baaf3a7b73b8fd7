-- attack: code that runs later
-- why: there are no timers, and it says so
-- class: 28
-- expect: error "ngx.timer.at is not available"

return ngx.timer.at(0, print)
