-- attack: an endless loop in a coroutine
-- why: the interrupt is the VM's and not one coroutine's
-- class: 4
-- expect: stopped

coroutine.wrap(function() while true do end end)()
