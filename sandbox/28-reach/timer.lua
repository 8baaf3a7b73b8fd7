-- attack: code that runs later
-- why: there are no timers
-- class: 28
-- expect: error ""

return ngx.timer.at(0, print)
