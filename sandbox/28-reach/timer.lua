-- attack: schedules code to run later
-- why: timers are unavailable, and their use raises an error
-- class: 28
-- expect: error "ngx.timer.at is not available"

return ngx.timer.at(0, print)
